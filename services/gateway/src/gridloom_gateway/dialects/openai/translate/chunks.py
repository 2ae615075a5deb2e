"""Streams: each frame of the engine becomes a chunk by having our names put before it. Decoded is only what changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from gridloom_contract.fault import Fault
from gridloom_contract.jobs import Job
from gridloom_contract.vocabulary import Kind, State
from gridloom_domain.completions import choices_of
from gridloom_gateway import sse
from gridloom_gateway.dialects.openai.sse import SIGN_OF_LIFE
from gridloom_gateway.dialects.openai.translate.bodies import usage_of
from gridloom_gateway.dialects.openai.translate.faults import CUT_OFF, failure_of, from_fault
from gridloom_gateway.dialects.openai.translate.names import Names
from gridloom_gateway.updates import (
    Closing,
    Ended,
    Moved,
    Position,
    Said,
    Silent,
    StartedOver,
    Update,
    id_behind,
    id_of,
)

Json = dict[str, Any]

_DONE: Final = b"data: [DONE]\n\n"
_NO_USAGE: Final = '"usage":null,'
_ROLE: Final = '"role"'
_USAGE: Final = '"usage"'

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Json).decode


class Chunks:
    """One reader's stream. `of` returns what it gets to see of an update; `is_over` once nothing may follow.

    With `wants_usage` every chunk says `usage: null` and one more at the end has the counts (API.md §2.3, 4).
    A reader that resumes at a `start` knows already who speaks.
    """

    def __init__(self, names: Names, *, wants_usage: bool, start: Position | None = None) -> None:
        self.is_over = False
        self._kind = names.kind
        opening = names.of_chunk()
        self._wants_usage = wants_usage
        self._head = f"data: {opening}{_NO_USAGE if wants_usage else ''}"
        self._last_head = f"data: {opening}"
        self._usage: Json | None = None
        self._speakers: set[Any] = set() if start is None else {0}

    def opening(self) -> bytes:
        """Return the first chunk, which says who speaks: it needs no engine."""
        if self._kind is not Kind.CHAT or self._speakers:
            return b""
        choice = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
        return self._event(_line({"choices": [choice]})).encode()

    def of(self, update: Update) -> bytes:
        """Return the events for one update; none after the last."""
        events: bytes = b"" if self.is_over else getattr(self, EVENTS[type(update)])(update)
        return events

    def _said(self, said: Said) -> bytes:
        return sse.on_one_line("".join(self._events(said)).encode())

    def _events(self, said: Said) -> Iterator[str]:
        """Each event has an id of its own: wherever among them a reader is cut off, it misses and repeats nothing."""
        if not said.frames:
            yield f"id: {id_of(said)}\n{self._event(self._plain_line(said.text))}"
        for frame in said.frames:
            if event := self._event(frame.line):
                yield f"id: {id_behind(frame, said.attempt)}\n{event}"

    def _event(self, line: str) -> str:
        if _ROLE in line or _USAGE in line:
            line = self._without_repetition(_decode(line))
        # What is empty has no field for the comma to stand before.
        return f"{self._head}{line[1:]}\n\n" if len(line) > 2 else ""

    def _without_repetition(self, frame: Json) -> str:
        """Return a frame without what comes elsewhere: counts at the end, and each speaker's name once."""
        self._usage = frame.pop("usage", None) or self._usage
        kept = [choice for choice in choices_of(frame) if self._says_something(choice)]
        return _line(frame | {"choices": kept}) if kept or frame.keys() - {"choices"} else ""

    def _says_something(self, choice: Json) -> bool:
        delta = choice.get("delta")
        if not isinstance(delta, dict) or "role" not in delta:
            return True
        index = choice.get("index", 0)
        if index not in self._speakers:
            self._speakers.add(index)
            return True
        del delta["role"]
        return any(delta.values()) or bool(choice.get("finish_reason"))

    def _plain_line(self, text: str) -> str:
        said: Json = {"text": text} if self._kind is Kind.COMPLETION else {"delta": {"content": text}}
        return _line({"choices": [{"index": 0, **said, "finish_reason": None}]})

    def _started_over(self, _over: StartedOver) -> bytes:
        return self._failed(CUT_OFF)

    def _ended(self, ended: Ended) -> bytes:
        self.is_over = True
        if ended.job.state is not State.SUCCEEDED:
            return self._failed(failure_of(ended.job).fault)
        return self._finish_of(ended.job) + self._counts_of(ended.job) + _DONE

    def _finish_of(self, job: Job) -> bytes:
        """A raw task's frames say themselves how it ended."""
        if job.task.raw is not None:
            return b""
        silence: Json = {"text": ""} if self._kind is Kind.COMPLETION else {"delta": {}}
        choice = {"index": 0, **silence, "finish_reason": job.finish_reason or "stop"}
        return self._event(_line({"choices": [choice]})).encode()

    def _counts_of(self, job: Job) -> bytes:
        usage = self._usage or usage_of(job.usage)
        if not self._wants_usage or usage is None:
            return b""
        return f"{self._last_head}{_line({'choices': [], 'usage': usage})[1:]}\n\n".encode()

    def _failed(self, fault: Fault) -> bytes:
        self.is_over = True
        return sse.on_one_line(b"data: %b\n\n" % _encode(from_fault(fault)))

    def _closing(self, _closing: Closing) -> bytes:
        self.is_over = True
        return b""

    def _moved(self, _moved: Moved) -> bytes:
        return b""

    def _silent(self, _silent: Silent) -> bytes:
        return SIGN_OF_LIFE


EVENTS: Final[dict[type[Update], str]] = {
    Moved: "_moved",
    Said: "_said",
    StartedOver: "_started_over",
    Ended: "_ended",
    Silent: "_silent",
    Closing: "_closing",
}


def _line(frame: Json) -> str:
    return _encode(frame).decode()
