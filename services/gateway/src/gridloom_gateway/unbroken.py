"""One text for readers that cannot be told to start over: what another attempt repeats of it is kept from them.

If another attempt says something else, the reader hears it (`StartedOver`) and its stream ends: a new one starts at the
beginning.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from gridloom_gateway.sse import Reader
from gridloom_gateway.transcript import Print
from gridloom_gateway.updates import Closing, Ended, Position, Said, StartedOver, Update


class Unbroken:
    """A reader whose text only grows. `start` is what was read of it before, of which nothing more is known."""

    def __init__(self, reader: Reader, start: Position | None = None) -> None:
        self._reader = reader
        self._retelling = Retelling(start.sent if start else 0)

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

    `unknown` characters were read elsewhere: nobody can say whether another attempt repeats them.
    """

    def __init__(self, unknown: int = 0) -> None:
        self._unknown = unknown
        self._sent = unknown
        self._said = Print()
        self._again: Print | None = None
        self._repeated = 0

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
            if self._unknown:
                return _broken(update.attempt)
            self._again, self._repeated = Print(), 0
            return []
        if isinstance(update, Said):
            return self._new_in(update)
        if isinstance(update, Ended) and self._again is not None and self._sent:
            return _broken(update.job.attempt) if update.job.output is not None or update.job.output_ref else [update]
        return [update]

    def _new_in(self, said: Said) -> list[Update]:
        if self._again is None:
            self._add(said.text)
            return [said]
        missing = self._sent - self._repeated
        self._again.add(said.text[:missing])
        self._repeated += len(said.text[:missing])
        if self._repeated < self._sent:
            return []
        if not self._again.is_same(self._said):
            return _broken(said.attempt)
        self._again = None
        new = said.text[missing:]
        self._add(new)
        return [replace(said, text=new)] if new else []

    def _add(self, text: str) -> None:
        self._said.add(text)
        self._sent += len(text)


def _broken(attempt: int) -> list[Update]:
    return [StartedOver(attempt), Closing()]
