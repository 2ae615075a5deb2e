"""The lines of a file, numbered from 1, in portions that fit into memory whatever the file has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

MOST_LINE_BYTES: Final = 16 * 1024 * 1024
_MOST_BYTES: Final = 8 * 1024 * 1024
_MOST_LOOKED_AT: Final = 65_536
_MARK: Final = b"\xef\xbb\xbf"
"""Some editors put it before a text in UTF-8."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line that is not blank."""

    number: int
    text: bytes

    @property
    def is_too_long(self) -> bool:
        """Whether this is only the beginning of it."""
        return len(self.text) > MOST_LINE_BYTES


async def portions(path: Path, size: int, after: int = 0) -> AsyncIterator[list[Line]]:
    """Yield the lines after line `after`, so many at a time or fewer if they are long, or none where all are blank.

    What follows one that is too long cannot be told apart from it.
    """
    with await asyncio.to_thread(path.open, "rb") as file:
        if await asyncio.to_thread(file.read, len(_MARK)) != _MARK:
            file.seek(0)
        reader = _Reader(file)
        while not reader.is_at_end:
            taken = await asyncio.to_thread(reader.take, size)
            yield [line for line in taken if line.number > after]


class _Reader:
    """Counts lines; takes those that are not blank."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._number = 0
        self.is_at_end = False

    def take(self, size: int) -> list[Line]:
        """Return the next lines. It looks at a bounded part of the file."""
        taken: list[Line] = []
        total_bytes, last = 0, self._number + _MOST_LOOKED_AT
        while len(taken) < size and total_bytes < _MOST_BYTES and self._number < last:
            text = self._file.readline(MOST_LINE_BYTES + 1)
            if not text:
                self.is_at_end = True
                break
            self._number += 1
            total_bytes += len(text)
            if not text.isspace():
                taken.append(Line(self._number, text))
        return taken
