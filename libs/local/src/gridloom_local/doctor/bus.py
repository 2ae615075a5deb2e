"""The running NATS server: streams, durability, and whether every identity is really shut in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import aiohttp
import msgspec
from nats.aio.client import Client

from gridloom_contract import subjects
from gridloom_contract.permissions import service_inbox, worker_inbox
from gridloom_contract.registry import GATEWAY, SCHEDULER
from gridloom_contract.streams import LANES, STREAMS
from gridloom_local.doctor.findings import Finding, judge, ok
from gridloom_local.nats_config import ADMIN_USER

_ANSWER_SECONDS: Final = 5.0
_STRANGER: Final = "waaaaaaaaaaaa"
_JOB: Final = "0" * 32

_ALWAYS_REFUSED: Final = "nobody.may.hear.this"
_FORBIDDEN_TO_WORKERS: Final = (
    subjects.tokens("*", "*"),
    subjects.live(_JOB),
    subjects.control(_STRANGER),
    subjects.order(_STRANGER, LANES[0]),
    "_INBOX.>",
)
_NEEDED_BY_SERVICES: Final = {
    GATEWAY: (subjects.live(_JOB), subjects.events_of_job(_JOB)),
    SCHEDULER: (subjects.JOBS_SUBMIT, subjects.shard_reports(0)),
}


async def server_findings(monitoring_url: str) -> list[Finding]:
    """Return what the NATS server says of itself at its monitoring port."""
    async with aiohttp.ClientSession() as session, session.get(f"{monitoring_url}/varz") as answer:
        varz = msgspec.json.decode(await answer.read())
    is_always = bool(varz.get("jetstream", {}).get("config", {}).get("sync_always"))
    return [
        ok("NATS server", f"version {varz['version']}, {varz['connections']} connections"),
        judge(
            "JetStream sync",
            is_always,
            f"sync_interval always: {is_always}",
            "set `sync_interval: always`: otherwise a power failure takes back two minutes of acknowledged messages",
        ),
    ]


async def stream_findings(url: str, passwords: Mapping[str, str]) -> list[Finding]:
    """Return whether every stream of the contract exists."""
    async with _connected(url, user=ADMIN_USER, password=passwords[ADMIN_USER]) as (client, _):
        answer = await client.request("$JS.API.STREAM.NAMES", b"", timeout=_ANSWER_SECONDS)
    names = set(msgspec.json.decode(answer.data).get("streams") or ())
    missing = [stream.name for stream in STREAMS if stream.name not in names]
    details = f"missing: {', '.join(missing)}" if missing else f"all {len(STREAMS)} are there"
    return [judge("JetStream streams", not missing, details, "restart the scheduler: it creates them when it starts")]


async def service_findings(url: str, passwords: Mapping[str, str]) -> list[Finding]:
    """Return whether the services may hear what they need."""
    findings = []
    for service, needed in _NEEDED_BY_SERVICES.items():
        login = {"user": service, "password": passwords[service], "inbox_prefix": service_inbox(service)}
        refused = await _refused(url, needed, **login)
        details = f"may not hear {', '.join(refused)}" if refused else f"hears {', '.join(needed)}"
        findings.append(
            judge(f"NATS rights of the {service}", not refused, details, "start the stack anew: `gridloom down`, `up`")
        )
    return findings


async def worker_findings(url: str, worker: str, token: str) -> list[Finding]:
    """Return whether a worker's identity is refused everything that is not its own."""
    login = {"token": token, "inbox_prefix": worker_inbox(worker)}
    own = (subjects.control(worker),)
    refused = await _refused(url, (*_FORBIDDEN_TO_WORKERS, *own), **login)
    open_ = [subject for subject in _FORBIDDEN_TO_WORKERS if subject not in refused]
    details = f"could subscribe {', '.join(open_)}" if open_ else f"refused {', '.join(_FORBIDDEN_TO_WORKERS)}"
    return [
        judge(
            "NATS: a worker is shut in",
            not open_,
            details,
            "let no strangers' workers in: the auth callout fails",
        ),
        judge("NATS: a worker hears its own", own[0] not in refused, f"hears {own[0]}", "read the scheduler's log"),
    ]


async def _refused(url: str, wanted: tuple[str, ...], **login: Any) -> list[str]:
    """Return the subjects among `wanted` to which this identity may not subscribe."""
    async with _connected(url, **login) as (client, refusals):
        for subject in (*wanted, _ALWAYS_REFUSED):
            await client.subscribe(subject)
        # The server refuses in order, so once it has refused the last one it has decided on all of them. If it does
        # not refuse that one, the identity is not shut in at all, and what came until then is the truth.
        with suppress(TimeoutError):
            await asyncio.wait_for(refusals.last_refused.wait(), _ANSWER_SECONDS)
        return [subject for subject in wanted if subject.lower() in refusals.subjects]


class _Refusals:
    """What the server refused, as it tells it: in lower case."""

    def __init__(self) -> None:
        self.subjects: set[str] = set()
        self.last_refused = asyncio.Event()

    async def remember(self, error: Exception) -> None:
        _, _, subject = str(error).lower().partition('subscription to "')
        self.subjects.add(subject.removesuffix('"'))
        if _ALWAYS_REFUSED in self.subjects:
            self.last_refused.set()


@asynccontextmanager
async def _connected(url: str, **login: Any) -> AsyncIterator[tuple[Client, _Refusals]]:
    client, refusals = Client(), _Refusals()
    await client.connect(url, **login, allow_reconnect=False, error_cb=refusals.remember, connect_timeout=5)
    if not client.is_connected:
        raise ConnectionError("NATS did not let this identity in")
    try:
        yield client, refusals
    finally:
        await client.close()
