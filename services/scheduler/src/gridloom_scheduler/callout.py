"""The NATS auth callout: decides who may connect as a worker, and with exactly which subjects.

The server asks with a signed JWT about each client that is no static user; the answer is a JWT
too, signed with the account seed the server trusts, and carries the user's own JWT with its permissions.
A revoked, an unknown and a wrong token are refused alike.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any, Protocol

import msgspec
import nkeys

from gridloom_contract.permissions import WORKERS_ACCOUNT, Permissions, of_worker
from gridloom_kit.bus import Bus
from gridloom_kit.clock import Clock
from gridloom_kit.log import get_logger
from gridloom_kit.mongo import DatabaseError
from gridloom_kit.system import answer_callouts
from gridloom_scheduler.access import Tokens
from gridloom_scheduler.record import Connection

log = get_logger()

_QUEUE = "scheduler"
_REFUSED = "not authorised"
_HEADER = {"typ": "JWT", "alg": "ed25519-nkey"}


class _Server(msgspec.Struct):
    id: str


class _Client(msgspec.Struct):
    id: int


class _Login(msgspec.Struct):
    auth_token: str = ""


class _Question(msgspec.Struct):
    server_id: _Server
    user_nkey: str
    client_info: _Client
    connect_opts: _Login


class _Request(msgspec.Struct):
    nats: _Question


class Workers(Protocol):
    """Where workers are kept."""

    async def admit(self, worker: str, verifier: str, connection: Connection) -> bool:
        """Note where a worker connects, and say whether it may."""
        ...


class Signer:
    """Makes JWTs signed by the account whose seed it holds."""

    def __init__(self, seed: str, clock: Clock) -> None:
        self._key = nkeys.from_seed(seed.encode())
        self._clock = clock
        self.issuer = self._key.public_key.decode()

    def sign(self, claims: dict[str, Any], lifetime_seconds: float | None = None) -> str:
        """Return the claims as a JWT; without a lifetime it does not expire."""
        now = int(self._clock.now().timestamp())
        claims = {**claims, "iss": self.issuer, "iat": now}
        if lifetime_seconds is not None:
            claims["exp"] = now + int(lifetime_seconds)
        digest = hashlib.sha256(msgspec.json.encode(claims)).digest()
        claims["jti"] = base64.b32encode(digest).decode().rstrip("=")
        text = f"{_part(_HEADER)}.{_part(claims)}"
        return f"{text}.{_base64(self._key.sign(text.encode()))}"


class Callout:
    """Answers the server's questions about clients."""

    def __init__(self, bus: Bus, workers: Workers, tokens: Tokens, signer: Signer, session_seconds: float) -> None:
        self._bus = bus
        self._workers = workers
        self._tokens = tokens
        self._signer = signer
        self._session_seconds = session_seconds

    async def open(self) -> None:
        """Begin to answer, together with the other replicas."""
        await answer_callouts(self._bus, _QUEUE, self.answer)

    async def answer(self, request: bytes) -> bytes | None:
        """Return the signed answer to one question; None if it is none."""
        try:
            question = question_of(request)
        except (ValueError, msgspec.DecodeError) as error:
            log.warning("callout.undecodable", err=str(error))
            return None
        claims = {
            "sub": question.user_nkey,
            "aud": question.server_id.id,
            "nats": {**await self._judge(question), "type": "authorization_response", "version": 2},
        }
        return self._signer.sign(claims).encode()

    async def _judge(self, question: _Question) -> dict[str, str]:
        token = question.connect_opts.auth_token
        worker = self._tokens.worker_of(token)
        connection = Connection(server=question.server_id.id, client=question.client_info.id)
        try:
            if worker and await self._workers.admit(worker, self._tokens.verifier(token), connection):
                log.info("callout.admitted", worker=worker)
                return {"jwt": self._user_jwt(question.user_nkey, worker)}
            log.info("callout.refused", worker=worker)
        except DatabaseError:
            log.exception("callout.undecided", worker=worker)
        return {"error": _REFUSED}

    def _user_jwt(self, user: str, worker: str) -> str:
        claims = {"sub": user, "aud": WORKERS_ACCOUNT, "name": worker, "nats": _user(of_worker(worker))}
        return self._signer.sign(claims, self._session_seconds)


def question_of(jwt: bytes) -> _Question:
    """Return what the server asks. Raises ValueError or `msgspec.DecodeError` if it is no such request.

    Only the server can publish here: the callout's account has no other user.
    """
    parts = jwt.split(b".")
    if len(parts) != 3:
        raise ValueError("not a JWT")
    padded = parts[1] + b"=" * (-len(parts[1]) % 4)
    return msgspec.json.decode(base64.urlsafe_b64decode(padded), type=_Request).nats


def _user(permissions: Permissions) -> dict[str, Any]:
    return {
        "pub": {"allow": list(permissions.publish)},
        "sub": {"allow": list(permissions.subscribe)},
        "subs": -1,
        "data": -1,
        "payload": -1,
        "type": "user",
        "version": 2,
    }


def _part(content: dict[str, Any]) -> str:
    return _base64(msgspec.json.encode(content))


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
