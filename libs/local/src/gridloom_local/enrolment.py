"""The account, API key and worker identity of the embedded stack: made through the gateway once, then kept."""

from __future__ import annotations

from pathlib import Path

import msgspec

from gridloom_local.client import Client
from gridloom_local.problems import Problem
from gridloom_local.servers import write_private

_ACCOUNT = "local"
_WORKER = "local"


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """What `up` needs of the grid itself. Empty before the first start."""

    api_key: str = ""
    worker: str = ""
    worker_token: str = ""


def read_keys(path: Path) -> Keys:
    """Return the kept keys; empty ones if there are none or the file is damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Keys)
    except (OSError, msgspec.DecodeError):
        return Keys()


def keep_keys(path: Path, keys: Keys) -> None:
    """Write the keys for the next start, readable by their owner only."""
    write_private(path, msgspec.json.encode(keys))


async def ensure_keys(admin: Client, tenant: Client, keys: Keys) -> Keys:
    """Return keys that this grid knows: those given where it does, else new ones. `tenant` uses `keys.api_key`."""
    if not keys.api_key or not await _is_known(tenant):
        keys = msgspec.structs.replace(keys, api_key=await _new_api_key(admin))
    if not keys.worker or keys.worker not in await _enrolled(admin):
        enrolled = await admin.call("POST", "/admin/v1/workers", {"name": _WORKER})
        keys = msgspec.structs.replace(keys, worker=enrolled["worker"], worker_token=enrolled["token"])
    return keys


async def _is_known(tenant: Client) -> bool:
    try:
        await tenant.call("GET", "/api/v1/models")
    except Problem:
        return False
    return True


async def _new_api_key(admin: Client) -> str:
    account = await admin.call("POST", "/admin/v1/accounts", {"name": _ACCOUNT})
    made = await admin.call("POST", f"/admin/v1/accounts/{account['id']}/keys", {"name": "gridloom up"})
    return str(made["key"])


async def _enrolled(admin: Client) -> set[str]:
    entries = await admin.every("/admin/v1/workers", "workers")
    return {str(entry["worker"]) for entry in entries if entry["state"] != "revoked"}
