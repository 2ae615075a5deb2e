"""The stream and the timeline of a job in the native API's words. Pure, like `translate`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from msgspec import UNSET

from gridloom_contract import events, jobs
from gridloom_contract.vocabulary import Usage
from gridloom_domain import ids
from gridloom_gateway import sse
from gridloom_gateway.dialects.native import wire
from gridloom_gateway.dialects.native.translate import STATUS, from_job, moment
from gridloom_gateway.updates import Closing, Ended, Moved, Said, Silent, StartedOver, Update, id_of

EVENT_NAMES: Final[dict[type[events.JobFact], str]] = {
    events.JobAccepted: "accepted",
    events.JobHeld: "held",
    events.JobReleased: "released",
    events.JobAttached: "attached",
    events.JobAssigned: "assigned",
    events.JobStarted: "started",
    events.JobRequeued: "requeued",
    events.JobReprioritised: "reprioritised",
    events.JobRetried: "retried",
    events.JobFinished: "finished",
    events.JobPurged: "purged",
}


def from_usage(usage: Usage) -> wire.Usage:
    """Return the tokens of a job."""
    estimated = True if usage.estimated else UNSET
    return wire.Usage(tokens_in=usage.tokens_in, tokens_out=usage.tokens_out, estimated=estimated)


SHOWN: Final[dict[str, Callable[[Any], Any]]] = {
    "model": str,
    "priority": int,
    "state": str,
    "reason": str,
    "until": moment,
    "content_type": str,
    "worker": str,
    "served_model": str,
    "why": str,
    "waited_ms": int,
    "usage": from_usage,
    "engine_seconds": float,
    "first_token_seconds": float,
    "fault": lambda fault: wire.Failure(code=str(fault.code), message=fault.message),
}
"""The fields of events that their job's owner may see, and how each is spelled."""


def from_timeline(timeline: jobs.Timeline) -> wire.TimelineDocument:
    """Return all events of a job."""
    job = ids.as_uuid(timeline.job)
    return wire.TimelineDocument(job_id=job, id=job, events=[from_event(event) for event in timeline.events])


def from_event(event: events.JobEvent) -> wire.TimelineEvent:
    """Return one event with those of its fields that are set and may be seen."""
    fields = {name: getattr(event, name, None) for name in SHOWN}
    shown = {name: SHOWN[name](value) for name, value in fields.items() if value is not None}
    return wire.TimelineEvent(
        seq=event.seq, type=EVENT_NAMES[type(event)], at=moment(event.at), attempt=event.attempt, **shown
    )


def to_frame(job: str, update: Update) -> bytes:
    """Return what the stream of this job says of one update."""
    frame: bytes = FRAMES[type(update)](job, update)
    return frame


def _state(job: str, moved: Moved) -> bytes:
    body = wire.StateEvent(
        job_id=ids.as_uuid(job),
        status=STATUS[moved.state],
        attempt=moved.attempt,
        queue_position=UNSET if moved.queue_position is None else moved.queue_position,
        estimated_start_seconds=UNSET if moved.estimated_start_seconds is None else moved.estimated_start_seconds,
    )
    # No id: the reader's position stays what it was.
    return sse.frame("state", body)


def _token(_job: str, said: Said) -> bytes:
    if not said.text:
        return b""
    return sse.frame("token", wire.TokenEvent(text=said.text), id_of(said))


def _reset(_job: str, over: StartedOver) -> bytes:
    return sse.frame("reset", wire.ResetEvent(attempt=over.attempt), id_of(over))


def _done(_job: str, ended: Ended) -> bytes:
    return sse.frame("done", from_job(ended.job), id_of(ended))


FRAMES: Final[dict[type[Update], Callable[[str, Any], bytes]]] = {
    Moved: _state,
    Said: _token,
    StartedOver: _reset,
    Ended: _done,
    Silent: lambda _job, _update: sse.HEARTBEAT,
    Closing: lambda _job, _update: sse.HEARTBEAT,
}
