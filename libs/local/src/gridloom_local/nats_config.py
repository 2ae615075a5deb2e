"""The configuration of nats-server, derived from the contract: who there is and what each may do.

Accounts: APP holds the services and JetStream; WORKERS holds the workers, and what crosses between the two is the
contract's `BORDER`; AUTH holds the one user that answers the auth callout; SYS is the server's own. Static users log in
with passwords; everybody else is a worker and goes through the callout.
JSON is valid nats-server configuration, so the result is a dictionary and no template.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gridloom_contract.permissions import BORDER, SERVICES_ACCOUNT, WORKERS_ACCOUNT, Permissions, of_service
from gridloom_contract.registry import SERVICES
from gridloom_local.servers import LOOPBACK

AUTH: Final = "AUTH"
SYS: Final = "SYS"
CALLOUT_USER: Final = "callout"
SYSTEM_USER: Final = "sys"
ADMIN_USER: Final = "admin"
"""May do everything where the services are. For `gridloom doctor` and the tests; production leaves its password out."""

STATIC_USERS: Final = (*SERVICES, CALLOUT_USER, SYSTEM_USER, ADMIN_USER)

_MEBIBYTE: Final = 1024 * 1024
_ACKNOWLEDGED_SECONDS: Final = 2.0
"""How long the server keeps the way back for what JetStream has to say to an acknowledgement; it does so at once."""


@dataclass(frozen=True)
class NatsSettings:
    """What may differ between two Gridloom NATS servers, beside their secrets."""

    port: int
    store: Path
    """Where JetStream keeps its files."""
    host: str = LOOPBACK
    monitoring_port: int | None = None
    """Serves /varz and the like on `host`, without any authentication. None = off."""
    name: str = "gridloom"
    max_payload_bytes: int = _MEBIBYTE
    """Larger bodies go by claim check."""
    max_connections: int = 10_000
    max_file_store_bytes: int = 10 * 1024 * _MEBIBYTE
    max_memory_store_bytes: int = 1024 * _MEBIBYTE
    """Tokens take 256 MiB of it. 1,000 workers of 4 slots are given 5,000 orders at most: 157 KiB each."""
    write_deadline_seconds: float = 2.0
    """A client that does not read for so long is cut off, not waited for."""
    ping_interval_seconds: float = 20.0
    """Two unanswered pings end a connection."""
    auth_timeout_seconds: float = 2.0
    """How long a client may take to log in, the auth callout included."""


def render(settings: NatsSettings, passwords: Mapping[str, str], callout_issuer: str) -> dict[str, Any]:
    """Return the configuration. `passwords` has one per static user, `callout_issuer` is the public account key.

    A user without a password does not exist. Raises KeyError if a service, the callout or the system user has none.
    """
    config: dict[str, Any] = {
        "server_name": settings.name,
        "host": settings.host,
        "port": settings.port,
        **_limits(settings),
        "jetstream": _jetstream(settings),
        "system_account": SYS,
        "accounts": _accounts(passwords),
        "authorization": {
            "timeout": settings.auth_timeout_seconds,
            "auth_callout": {
                "issuer": callout_issuer,
                "account": AUTH,
                "auth_users": [user for user in STATIC_USERS if user in passwords],
            },
        },
    }
    if settings.monitoring_port is not None:
        config["http"] = f"{settings.host}:{settings.monitoring_port}"
    return config


def _limits(settings: NatsSettings) -> dict[str, Any]:
    return {
        "max_payload": settings.max_payload_bytes,
        "max_pending": 64 * _MEBIBYTE,
        "max_connections": settings.max_connections,
        "write_deadline": _duration(settings.write_deadline_seconds),
        "ping_interval": _duration(settings.ping_interval_seconds),
        "ping_max": 2,
    }


def _jetstream(settings: NatsSettings) -> dict[str, Any]:
    return {
        "store_dir": str(settings.store),
        "max_file_store": settings.max_file_store_bytes,
        "max_memory_store": settings.max_memory_store_bytes,
        # The default acknowledges up to two minutes of messages that a power failure would take back.
        "sync_interval": "always",
    }


def _accounts(passwords: Mapping[str, str]) -> dict[str, Any]:
    members = [_user(service, passwords[service], of_service(service)) for service in SERVICES]
    if ADMIN_USER in passwords:
        members.append({"user": ADMIN_USER, "password": passwords[ADMIN_USER]})
    return {
        SERVICES_ACCOUNT: {"jetstream": "enabled", "users": members, **_services_side()},
        WORKERS_ACCOUNT: _workers_side(),
        AUTH: {"users": [_user(CALLOUT_USER, passwords[CALLOUT_USER], _CALLOUT)]},
        SYS: {"users": [_user(SYSTEM_USER, passwords[SYSTEM_USER], _SYSTEM)]},
    }


def _services_side() -> dict[str, Any]:
    # One export, and no more than one: the server follows a reply into another service, but never back into the same.
    acknowledging = {"service": BORDER.service, "response_threshold": _duration(_ACKNOWLEDGED_SECONDS)}
    telling = ({"stream": subject} for subject in BORDER.heard_by_workers)
    return {
        "exports": [{**export, "accounts": [WORKERS_ACCOUNT]} for export in (acknowledging, *telling)],
        "imports": [_from(WORKERS_ACCOUNT, "stream", subject) for subject in BORDER.said_by_workers],
    }


def _workers_side() -> dict[str, Any]:
    return {
        "exports": [{"stream": subject, "accounts": [SERVICES_ACCOUNT]} for subject in BORDER.said_by_workers],
        "imports": [
            *(_from(SERVICES_ACCOUNT, "service", subject) for subject in BORDER.acknowledgements),
            *(_from(SERVICES_ACCOUNT, "stream", subject) for subject in BORDER.heard_by_workers),
        ],
    }


def _from(account: str, kind: str, subject: str) -> dict[str, Any]:
    return {kind: {"account": account, "subject": subject}}


def _user(name: str, password: str, permissions: Permissions) -> dict[str, Any]:
    allowed: dict[str, Any] = {
        "publish": {"allow": list(permissions.publish)},
        "subscribe": {"allow": list(permissions.subscribe)},
    }
    if permissions.may_respond:
        allowed["allow_responses"] = True
    return {"user": name, "password": password, "permissions": allowed}


_CALLOUT: Final = Permissions(publish=(), subscribe=("$SYS.REQ.USER.AUTH", "_INBOX.>"))
# Alone in its account, so nobody else's replies pass through `_INBOX.>` there.
_SYSTEM: Final = Permissions(
    publish=(
        "$SYS.REQ.SERVER.*.KICK",
        *(f"$SYS.REQ.SERVER.PING.{what}" for what in ("CONNZ", "VARZ", "JSZ", "HEALTHZ")),
        *(f"$SYS.REQ.SERVER.*.{what}" for what in ("CONNZ", "VARZ", "JSZ", "HEALTHZ")),
    ),
    subscribe=("_INBOX.>", "$SYS.ACCOUNT.*.CONNECT", "$SYS.ACCOUNT.*.DISCONNECT"),
    may_respond=False,
)


def _duration(seconds: float) -> str:
    return f"{seconds:g}s"
