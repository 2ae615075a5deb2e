"""One text for readers that cannot be told to start over: what another attempt repeats of it is kept from them.

An engine that is sure of itself (a temperature of 0, a seed) says the same again, and the reader notices nothing. If
another attempt says something else, the reader hears it (`StartedOver`) and its stream ends: a new one starts at the
beginning. Only text can be compared, so whoever was told more, such as a call of a tool, is never told it again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, Final

import msgspec

from gridloom_domain.completions import choices_of
from gridloom_gateway.sse import Reader
from gridloom_gateway.transcript import Print
from gridloom_gateway.updates import Closing, Ended, Frame, Position, Said, StartedOver, Update

_TEXTS: Final = ('"content":"', '"text":"')
_FIRST: Final = '"index":0'
_CALLS: Final = '"tool_calls":['
_END: Final = '"finish_reason":"'

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


class Unbroken:
    """A reader whose text only grows. `start` is what was read of it before, of which nothing more is known."""

    def __init__(self, reader: Reader, start: Position | None = None) -> None:
        self._reader = reader
        self._retelling = Retelling(start)

    async def next(self) -> list[Update]:
        """Return what is new, at least one update."""
        found: list[Update] = []
        while not found:
            found = self._retelling.of(await self._reader.next())
        return found

    def stored_text(self, ref: str) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Open an output that is an object."""
        return self._reader.stored_text(ref)


class Retelling:
    """Compares what another attempt says with what was said. Pure.

    What a reader read elsewhere cannot be compared. Only of what it read of a stored answer so much is known: another
    look at the same attempt begins with the same text.
    """

    def __init__(self, start: Position | None = None) -> None:
        self._start = start or Position(0, 0)
        self._unknown = self._told = self._start.content
        self._said = Print()
        self._again: Print | None = None
        self._repeated = 0
        self._is_plain = self._is_comparable = True

    def of(self, updates: list[Update]) -> list[Update]:
        """Return what of these updates a reader shall hear."""
        found: list[Update] = []
        for update in updates:
            found += self._heard(update)
            if found and isinstance(found[-1], Closing):
                break
        return found

    def _heard(self, update: Update) -> list[Update]:
        if isinstance(update, StartedOver):
            return self._started_over(update)
        if isinstance(update, Said):
            return self._told_on(update) if self._again is None else self._told_again(update, self._again)
        if isinstance(update, Ended) and self._again is not None:
            has_answer = update.job.output is not None or update.job.output_ref is not None
            return _broken(update.job.attempt) if has_answer else [update]
        return [update]

    def _started_over(self, over: StartedOver) -> list[Update]:
        is_known = not self._start.sent and (not self._start.content or over.attempt == self._start.attempt)
        self._is_comparable = self._is_plain and is_known
        self._again = Print() if self._told or not self._is_comparable else None
        self._repeated = 0
        return []

    def _told_on(self, said: Said) -> list[Update]:
        self._is_plain = self._is_plain and all(_is_plain(frame.line) for frame in said.frames)
        self._said.add(said.text)
        self._told += len(said.text)
        return [said]

    def _told_again(self, said: Said, again: Print) -> list[Update]:
        missing = self._told - self._repeated
        known = said.text[:missing]
        again.add(known[max(0, self._unknown - self._repeated) :])
        self._repeated += len(known)
        repeated, new = _cut(said.frames, missing)
        is_over = any(_says_more(frame.line) for frame in repeated)
        if not self._is_comparable or is_over:
            return _broken(said.attempt)
        if self._repeated < self._told:
            return []
        if not again.is_same(self._said):
            return _broken(said.attempt)
        self._again = None
        rest = replace(said, text=said.text[missing:], frames=tuple(new))
        return self._told_on(rest) if rest.text or rest.frames else []


def _cut(frames: Sequence[Frame], characters: int) -> tuple[list[Frame], list[Frame]]:
    """Return the frames within so many characters of text, and what they say behind that."""
    for place, frame in enumerate(frames):
        if characters and len(frame.text) >= characters:
            return list(frames[:place]), [_without(frame, characters), *frames[place + 1 :]]
        characters -= len(frame.text)
    return list(frames), []


def _without(frame: Frame, characters: int) -> Frame:
    """Return a frame without the beginning of its text; whatever else it says it still says."""
    content = _decode(frame.line)
    text = frame.text[characters:]
    for choice in choices_of(content):
        holder, name = (choice["delta"], "content") if isinstance(choice.get("delta"), dict) else (choice, "text")
        holder[name] = text
    return frame._replace(line=_encode(content).decode(), text=text)


def _is_plain(line: str) -> bool:
    """Whether a frame only goes on with the text of the first choice: quotes within texts are always escaped."""
    return _FIRST in line and any(name in line for name in _TEXTS) and _CALLS not in line


def _says_more(line: str) -> bool:
    """Whether a frame calls a tool or ends the answer."""
    return _CALLS in line or _END in line


def _broken(attempt: int) -> list[Update]:
    return [StartedOver(attempt), Closing()]
