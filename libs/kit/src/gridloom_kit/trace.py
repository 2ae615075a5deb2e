"""W3C trace context through the bus: read from a message's headers, bound to the task, written to what it sends."""

from __future__ import annotations

from collections.abc import Mapping
from secrets import randbits

from opentelemetry import context, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACEPARENT = "traceparent"
_propagator = TraceContextTextMapPropagator()


def current_traceparent() -> str | None:
    """Return the `traceparent` of the work at hand, or None where none was started."""
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return None
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"


def continue_trace(headers: Mapping[str, str] | None) -> str | None:
    """Make the sender's trace this task's own with a new span, and return its trace id; None if there was none."""
    if not headers or TRACEPARENT not in headers:
        return None
    carrier = {TRACEPARENT: headers[TRACEPARENT]}
    parent = trace.get_current_span(_propagator.extract(carrier)).get_span_context()
    if not parent.is_valid:
        return None
    return _bind(parent.trace_id, parent.trace_flags)


def start_trace() -> str:
    """Begin a new trace for this task and return its id (32 hex)."""
    return _bind(randbits(128) | 1, trace.TraceFlags(trace.TraceFlags.DEFAULT))


def _bind(trace_id: int, flags: trace.TraceFlags) -> str:
    span = trace.SpanContext(trace_id, randbits(64) | 1, is_remote=False, trace_flags=flags)
    context.attach(trace.set_span_in_context(trace.NonRecordingSpan(span)))
    return f"{trace_id:032x}"
