"""Reading server-sent events (WHATWG HTML, section 9.2.6) from pieces of any size."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """One event. `id` is the last one seen on the stream, with which a reader resumes."""

    name: str
    data: str
    id: str = ""


class SseParser:
    """Feed it what arrives; it yields each event once its blank line is there."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest: list[str] = []
        self._name = ""
        self._data: list[str] = []
        self._id = ""

    def feed(self, piece: bytes) -> Iterator[Event]:
        """Yield the events that this piece completes."""
        self._rest.append(self._decoder.decode(piece))
        if not any(end in part for part in self._rest[-2:] for end in "\r\n"):
            return  # a line of many megabytes comes in many pieces, and is put together once
        text = "".join(self._rest)
        # A carriage return at the very end may be the first half of a line end: it waits for the next piece.
        keep = 1 if text.endswith("\r") else 0
        *lines, rest = text[: len(text) - keep].replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._rest = [rest, "\r" * keep]
        for line in lines:
            if event := self._read(line):
                yield event

    def _read(self, line: str) -> Event | None:
        if not line:
            return self._complete()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        return None

    def _complete(self) -> Event | None:
        name, data = self._name or "message", self._data
        self._name, self._data = "", []
        return Event(name, "\n".join(data), self._id) if data else None
