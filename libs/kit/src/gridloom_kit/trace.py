"""W3C trace context through the bus: read from a message's headers, bound to the task, written to what it sends."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from secrets import randbits

from opentelemetry import context, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACEPARENT = "traceparent"
_propagator = TraceContextTextMapPropagator()
_nothing = context.Context()
_current: ContextVar[str | None] = ContextVar("gridloom_traceparent", default=None)
"""Asked for with every message and every log line: as it is written, not as a span."""


def current_traceparent() -> str | None:
    """Return the `traceparent` of the work at hand, or None where none was started."""
    return _current.get()


def continue_trace(headers: Mapping[str, str] | None) -> str | None:
    """Make the sender's trace this task's own with a new span, and return its trace id; None if there was none."""
    if not headers or TRACEPARENT not in headers:
        return None
    carrier = {TRACEPARENT: headers[TRACEPARENT]}
    parent = trace.get_current_span(_propagator.extract(carrier, _nothing)).get_span_context()
    if not parent.is_valid:
        return None
    return _bind(parent.trace_id, parent.trace_flags)


def start_trace() -> str:
    """Begin a new trace for this task and return its id (32 hex)."""
    return _bind(randbits(128) | 1, trace.TraceFlags.DEFAULT)


def _bind(trace_id: int, flags: int) -> str:
    written = f"{trace_id:032x}"
    _current.set(f"00-{written}-{randbits(64) | 1:016x}-{flags:02x}")
    return written
