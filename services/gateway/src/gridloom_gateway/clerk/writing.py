"""Writing down how the lines of a batch ended: answers in one file, errors in another, in the order of the lines."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from gridloom_gateway.clerk.language import Result


class Results:
    """The two files. A context manager; they are whole once it is left."""

    def __init__(self, folder: Path) -> None:
        self.answers = folder / "answers"
        self.errors = folder / "errors"
        self._files: dict[bool, BinaryIO] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Results:
        for is_answer, path in ((True, self.answers), (False, self.errors)):
            self._files[is_answer] = self._stack.enter_context(path.open("wb"))
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    async def write(self, results: Iterable[Result]) -> None:
        """Write some more."""
        await asyncio.to_thread(self._write, list(results))

    def _write(self, results: list[Result]) -> None:
        for result in results:
            self._files[result.is_answer].write(result.text + b"\n")


async def stored(path: Path, store: Callable[[Path], Awaitable[str]]) -> str | None:
    """Return what `store` makes of a file, None of an empty one."""
    return await store(path) if (await asyncio.to_thread(path.stat)).st_size else None
