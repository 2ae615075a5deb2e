"""The running MongoDB: replica set, journal, write concern, clock."""

from __future__ import annotations

import asyncio
from datetime import UTC
from typing import Any, Final

from pymongo import MongoClient

from gridloom_kit.clock import SystemClock
from gridloom_local.doctor.findings import Finding, judge, ok, warn

_SKEW_SECONDS: Final = 1.0
_PATIENCE_MILLISECONDS: Final = 5000


async def database_findings(url: str) -> list[Finding]:
    """Return what there is to say about the MongoDB at `url`, read with an administrator's rights."""
    return await asyncio.to_thread(_examine, url)


def _examine(url: str) -> list[Finding]:
    client: MongoClient[dict[str, Any]] = MongoClient(url, serverSelectionTimeoutMS=_PATIENCE_MILLISECONDS)
    with client:
        hello = client.admin.command("hello")
        status = client.admin.command("serverStatus")
        concern = client.admin.command("getDefaultRWConcern")
    return [_clock(hello), _replica_set(hello, status), _journal(status), _write_concern(concern)]


def _clock(hello: dict[str, Any]) -> Finding:
    skew = abs((SystemClock().now() - hello["localTime"].replace(tzinfo=UTC)).total_seconds())
    remedy = "set both clocks by NTP: deadlines are counted in the database's time"
    details = f"{skew * 1000:.0f} ms between this machine and MongoDB"
    return ok("clock", details) if skew < _SKEW_SECONDS else warn("clock", details, remedy)


def _replica_set(hello: dict[str, Any], status: dict[str, Any]) -> Finding:
    name = hello.get("setName")
    details = f"MongoDB {status['version']}, set {name}, primary: {hello.get('isWritablePrimary')}"
    is_good = bool(name) and bool(hello.get("isWritablePrimary"))
    return judge("MongoDB replica set", is_good, details, "initiate the replica set: majority writes need one")


def _journal(status: dict[str, Any]) -> Finding:
    engine = status["storageEngine"]
    details = f"{engine['name']}, persistent: {engine['persistent']}"
    is_good = engine["name"] == "wiredTiger" and bool(engine["persistent"])
    return judge("MongoDB journal", is_good, details, "run mongod with wiredTiger on a disk")


def _write_concern(concern: dict[str, Any]) -> Finding:
    found = concern.get("defaultWriteConcern", {}).get("w", "1")
    details = f"default w: {found}; the services ask for majority with journal themselves"
    remedy = "make majority the default: setDefaultRWConcern with {w: 'majority'}"
    return (
        ok("MongoDB write concern", details) if found == "majority" else warn("MongoDB write concern", details, remedy)
    )
