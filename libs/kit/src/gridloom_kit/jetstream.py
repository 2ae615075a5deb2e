"""JetStream without its client's per-message cost: raw API requests. `publishing.py` stores messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from nats.errors import Error as NatsError

from gridloom_contract.base import Message, Value

if TYPE_CHECKING:
    from gridloom_kit.bus import Bus

API_PREFIX = "$JS.API."

BusError = NatsError
"""What a raw request raises when nobody answers or the line is down. Services catch it by this name."""


class JetStreamApiError(Exception):
    """JetStream refused a request; `code` is like HTTP's, `err_code` JetStream's own (10059: no such stream)."""

    def __init__(self, name: str, code: int, err_code: int, description: str) -> None:
        super().__init__(f"{name}: {description} ({code}/{err_code})")
        self.code = code
        self.err_code = err_code


class Outgoing(Value, frozen=True, kw_only=True):
    """One message for a stream. `message_id` makes storing it twice the same as once (for two minutes)."""

    subject: str
    message: Message
    message_id: str


async def api(bus: Bus, name: str, body: dict[str, Any] | None = None, timeout_seconds: float = 5.0) -> dict[str, Any]:
    """Return JetStream's answer to `$JS.API.<name>`.

    Raises `JetStreamApiError`, or `nats.errors.Error` if nobody answers.
    """
    payload = msgspec.json.encode(body) if body is not None else b""
    received = await bus.client.request(API_PREFIX + name, payload, timeout=timeout_seconds)
    answer: dict[str, Any] = msgspec.json.decode(received.data)
    if "error" in answer:
        error = answer["error"]
        raise JetStreamApiError(name, error.get("code", 0), error.get("err_code", 0), error.get("description", ""))
    return answer


async def exists(bus: Bus, stream: str) -> bool:
    """Return whether the stream exists.

    During a leader change nobody answers, which is not "missing": that raises `nats.errors.Error`.
    """
    try:
        await api(bus, f"STREAM.INFO.{stream}")
    except JetStreamApiError as error:
        if error.code == 404:
            return False
        raise NatsError(f"nats: {error}") from error
    return True
