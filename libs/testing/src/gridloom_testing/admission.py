"""Stands in for the scheduler's auth callout where a test needs a worker's connection but no scheduler.

It admits every token `glw_<worker>_<anything>` with exactly the rights of that worker, and refuses all else. It is
written independently of the scheduler's: what the two admit differently, one of them gets wrong.
"""

from __future__ import annotations

import secrets as chance
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import nats
import nkeys
from nats.aio.msg import Msg

from gridloom_contract.permissions import WORKERS_ACCOUNT, of_worker
from gridloom_local.nats_config import CALLOUT_USER
from gridloom_testing.servers import NatsServer

_HEADER = {"typ": "JWT", "alg": "ed25519-nkey"}
_SECONDS_VALID = 3600


def worker_of(token: str) -> str:
    """Return the worker's id in a token. Raises ValueError if it is no worker token."""
    kind, worker, secret = token.split("_", 2)
    if kind != "glw" or not worker or not secret:
        raise ValueError("not a worker token")
    return worker


@asynccontextmanager
async def admitting(server: NatsServer) -> AsyncIterator[None]:
    """Answer the auth callouts of `server` for as long as the block runs."""
    issuer = nkeys.from_seed(server.secrets.callout_seed.encode())
    connection = await nats.connect(server.url, **server.login_of(CALLOUT_USER))

    async def on_callout(message: Msg) -> None:
        await message.respond(_answer(issuer, message.data))

    await connection.subscribe("$SYS.REQ.USER.AUTH", cb=on_callout)
    await connection.flush()
    try:
        yield
    finally:
        await connection.close()


def _answer(issuer: nkeys.KeyPair, request: bytes) -> bytes:
    asked = _claims(request)["nats"]
    user = asked["user_nkey"]
    verdict = {"type": "authorization_response", "version": 2}
    try:
        worker = worker_of(asked["connect_opts"].get("auth_token", ""))
        verdict["jwt"] = _sign(issuer, user, WORKERS_ACCOUNT, name=worker, nats=_rights(worker)).decode()
    except ValueError as error:
        verdict["error"] = str(error)
    return _sign(issuer, user, asked["server_id"]["id"], nats=verdict)


def _rights(worker: str) -> dict[str, Any]:
    allowed = of_worker(worker)
    return {
        "type": "user",
        "version": 2,
        "pub": {"allow": list(allowed.publish)},
        "sub": {"allow": list(allowed.subscribe)},
        **dict.fromkeys(("subs", "data", "payload"), -1),
    }


def _sign(issuer: nkeys.KeyPair, subject: str, audience: str, **claims: Any) -> bytes:
    now = int(time.time())
    standard = {
        "jti": chance.token_hex(16),
        "iat": now,
        "exp": now + _SECONDS_VALID,
        "iss": issuer.public_key.decode(),
        "sub": subject,
        "aud": audience,
    }
    signed = b".".join(_base64(msgspec.json.encode(part)) for part in (_HEADER, standard | claims))
    return signed + b"." + _base64(issuer.sign(signed))


def _base64(content: bytes) -> bytes:
    return urlsafe_b64encode(content).rstrip(b"=")


def _claims(token: bytes) -> Any:
    body = token.split(b".")[1]
    return msgspec.json.decode(urlsafe_b64decode(body + b"=" * (-len(body) % 4)))
