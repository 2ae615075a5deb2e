"""What an engine's refusals and nonsense mean for the job: whose fault it is, and whether another engine may do it."""

from __future__ import annotations

from gridloom_contract.fault import Fault, FaultCode, FaultError
from gridloom_domain.errors import Invalid, Upstream
from gridloom_worker.engines.openai_wire import message_in, read, status_in

MAX_MESSAGE_BYTES = 1024

_HOPELESS = "is too large to process"
"""llama.cpp calls a text that is longer than its model takes an error of its own (500)."""

_TRY_ELSEWHERE = frozenset({401, 403, 404, 407, 408, 409, 425, 429})
"""Refusals that blame this engine or this moment, not the caller's request."""


def refusal(status: int, message: str) -> FaultError:
    """Return an engine's refusal as a fault: the caller's mistake is final, anything else may go better elsewhere."""
    said = _cut(message) or "no reason given"
    if _HOPELESS in said:
        return Invalid(f"the engine refused the request: {said}")
    if status >= 500 or status < 400 or status in _TRY_ELSEWHERE:
        return Upstream(f"the engine answered {status}: {said}")
    return Invalid(f"the engine refused the request ({status}): {said}")


def frame_fault(data: bytes) -> FaultError:
    """Return what an error in the middle of an answer means."""
    try:
        content = read(data, dict)
    except (ValueError, RecursionError):
        content = {}
    return refusal(status_in(content.get("error", content)), message_in(data))


def bad_output(message: str) -> FaultError:
    """Return the fault of an answer that is none."""
    return FaultError(Fault(code=FaultCode.BAD_OUTPUT, message=message, retryable=True))


def _cut(message: str) -> str:
    return message.strip().encode(errors="replace")[:MAX_MESSAGE_BYTES].decode(errors="ignore")
