"""A job's timeline as tables: what happened when, and what it cost. Pure but for the printing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from gridloom_local.tables import print_table, seconds

Event = Mapping[str, Any]

_DETAILS: Final[Mapping[str, Callable[[Event], str]]] = {
    "accepted": lambda event: f"model {event['model']}, priority {event.get('priority', 0)}",
    "held": lambda event: f"waits for {event['reason']}",
    "released": lambda event: f"no longer waits for {event['reason']}",
    "assigned": lambda event: f"{event['why']}; had waited {event.get('waited_ms', 0)} ms",
    "started": lambda event: f"attempt {event.get('attempt', 1)}",
    "requeued": lambda event: str(event["reason"]),
    "reprioritised": lambda event: f"priority {event['priority']}",
    "finished": lambda event: f"{event['state']}{_because(event)}",
}


def print_story(events: Sequence[Event]) -> None:
    """Print what happened to a job, then, if it has ended, its figures."""
    print_table(("time", "after", "event", "worker", "details"), story_rows(events), title="What happened to the job")
    if figures := figure_rows(events):
        print_table(("worker", "tokens in", "tokens out", "first token", "tokens/s", "total"), [figures])


def story_rows(events: Sequence[Event]) -> list[tuple[str, str, str, str, str]]:
    """Return one row an event: the time of day, how long after the first one, what, which worker, and details."""
    if not events:
        return []
    began = at(events[0])
    return [
        (
            at(event).strftime("%H:%M:%S.%f")[:-3],
            seconds((at(event) - began).total_seconds()),
            name_of(event),
            str(event.get("worker") or ""),
            _details(event),
        )
        for event in events
    ]


def figure_rows(events: Sequence[Event]) -> tuple[object, ...] | None:
    """Return worker, tokens in and out, time to first token, tokens a second and total time; None before the end."""
    ended = next((event for event in reversed(events) if name_of(event) == "finished"), None)
    if ended is None:
        return None
    usage = ended.get("usage") or {}
    total = (at(ended) - at(events[0])).total_seconds()
    return (
        ended.get("worker"),
        usage.get("tokens_in"),
        usage.get("tokens_out"),
        seconds(ended.get("first_token_seconds")),
        tokens_per_second(ended),
        seconds(total),
    )


def tokens_per_second(ended: Event) -> str:
    """Return the engine's speed between its first token and its last, or a dash if it cannot be told."""
    tokens = (ended.get("usage") or {}).get("tokens_out") or 0
    writing = (ended.get("engine_seconds") or 0.0) - (ended.get("first_token_seconds") or 0.0)
    return f"{(tokens - 1) / writing:.0f}" if tokens > 1 and writing > 0 else "-"


def name_of(event: Event) -> str:
    """Return the bare name of an event: `finished` for `job.finished.1`."""
    words = str(event["type"]).split(".")
    return words[1] if len(words) > 1 else words[0]


def at(event: Event) -> datetime:
    """Return when the event happened."""
    return datetime.fromisoformat(str(event["at"]))


def _details(event: Event) -> str:
    describe = _DETAILS.get(name_of(event))
    return describe(event) if describe else ""


def _because(event: Event) -> str:
    fault = event.get("fault") or {}
    reason = fault.get("message") or event.get("reason")
    return f": {reason}" if reason else ""
