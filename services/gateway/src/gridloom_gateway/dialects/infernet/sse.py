"""The stream of a job in Infernet's words: text, and how it ended. Pure, like `translate`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from gridloom_contract.fault import FaultCode
from gridloom_gateway import sse
from gridloom_gateway.dialects.infernet import wire
from gridloom_gateway.dialects.infernet.translate import ERRORS, why
from gridloom_gateway.updates import Closing, Ended, Moved, Said, Silent, StartedOver, Update, id_of

DONE: Final = b"data: [DONE]\n\n"
_OTHERWISE: Final = "The node was lost and another one answers differently; open the stream again for its answer"


def to_frame(update: Update) -> bytes:
    """Return what the stream says of one update."""
    frame: bytes = FRAMES[type(update)](update)
    return frame


def _text(said: Said) -> bytes:
    return sse.unnamed(wire.TextEvent(text=said.text), id_of(said)) if said.text else b""


def _over(_over: StartedOver) -> bytes:
    return _failed(ERRORS[FaultCode.WORKER_LOST][1], _OTHERWISE)


def _end(ended: Ended) -> bytes:
    reason = why(ended.job)
    return DONE if reason is None else _failed(*reason)


def _failed(error: str, message: str) -> bytes:
    return sse.unnamed(wire.ErrorEvent(error=error, message=message)) + DONE


FRAMES: Final[dict[type[Update], Callable[[Any], bytes]]] = {
    Moved: lambda _update: b"",
    Said: _text,
    StartedOver: _over,
    Ended: _end,
    Silent: lambda _update: sse.HEARTBEAT,
    Closing: lambda _update: sse.HEARTBEAT,
}
