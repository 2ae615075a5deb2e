"""The lines of a file, numbered from 1, in portions that fit into memory whatever the file has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

MOST_LINE_BYTES: Final = 16 * 1024 * 1024
_MOST_BYTES: Final = 8 * 1024 * 1024
_BLANK: Final = b" \t\r\n"
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
    """Yield the lines after line `after`, so many at a time or fewer if they are long. What follows one that is too
    long cannot be told apart from it.
    """
    number = 0
    with await asyncio.to_thread(path.open, "rb") as file:
        if await asyncio.to_thread(file.read, len(_MARK)) != _MARK:
            file.seek(0)
        while taken := await asyncio.to_thread(_take, file, size):
            numbered = [Line(number + place, text) for place, text in enumerate(taken, 1)]
            number += len(taken)
            lines = [line for line in numbered if line.number > after and line.text.strip(_BLANK)]
            if lines:
                yield lines


def _take(file: BinaryIO, size: int) -> list[bytes]:
    taken: list[bytes] = []
    total_bytes = 0
    while len(taken) < size and total_bytes < _MOST_BYTES and (text := file.readline(MOST_LINE_BYTES + 1)):
        taken.append(text)
        total_bytes += len(text)
    return taken
