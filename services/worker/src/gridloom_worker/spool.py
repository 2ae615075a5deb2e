"""Results that the scheduler has not confirmed, on disk: one file an attempt, written whole or not at all.

A file appears under its name only when its content is complete (written beside, synced, renamed), and disappears on the
receipt. Whatever is there at the next start is sent again. A large output is a file of its own, there before its
result's file and gone after it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from gridloom_contract.work import ResultReport
from gridloom_kit.batch import GroupCommit
from gridloom_kit.log import get_logger
from gridloom_kit.transfer import Content, content_of, content_of_file
from gridloom_worker.slots import Key

log = get_logger()

_SUFFIX = ".result.json"
_OUTPUT_SUFFIX = ".output.txt"
_SLICE_CHARACTERS = 256 * 1024
_TORN_FOLDER = "torn"
_MAX_TORN = 64


class Files:
    """The folder. Every method blocks: `Spool` calls them in a thread."""

    def __init__(self, folder: Path, *, is_synced: bool) -> None:
        self.folder = folder
        self._is_synced = is_synced

    def prepare(self) -> None:
        """Make the folder, for this user alone, and clear what a crash left half written. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        results = {path.name.removesuffix(_SUFFIX) for path in self.folder.glob(f"*{_SUFFIX}")}
        outputs = self.folder.glob(f"*{_OUTPUT_SUFFIX}")
        stray = [path for path in outputs if path.name.removesuffix(_OUTPUT_SUFFIX) not in results]
        for left in (*self.folder.glob("*.part"), *stray):
            left.unlink(missing_ok=True)

    def load(self) -> list[ResultReport]:
        """Return the results in the order in which they were written; what cannot be read is moved aside."""
        found: list[ResultReport] = []
        for path in sorted(self.folder.glob(f"*{_SUFFIX}"), key=lambda file: (file.stat().st_mtime_ns, file.name)):
            try:
                found.append(self._read(path))
            except (msgspec.DecodeError, UnicodeDecodeError, OSError) as error:
                self._move_aside(path, error)
        return found

    def _read(self, path: Path) -> ResultReport:
        result = msgspec.json.decode(path.read_bytes(), type=ResultReport)
        if is_bare(result) and not self.output_path_of((result.job, result.attempt)).exists():
            raise FileNotFoundError("a result without its output")
        return result

    def write(self, results: Iterable[tuple[Key, bytes]]) -> None:
        """Write the results; when it returns they survive a power failure (if synced). Raises OSError."""
        for key, content in results:
            self._write_one(self.path_of(key), (content,))
        if self._is_synced:
            _sync_folder(self.folder)

    def write_output(self, key: Key, text: str) -> Path:
        """Write a large output and return its file. Raises OSError."""
        path = self.output_path_of(key)
        slices = (text[start : start + _SLICE_CHARACTERS] for start in range(0, len(text), _SLICE_CHARACTERS))
        self._write_one(path, (piece.encode() for piece in slices))
        return path

    def remove(self, keys: Iterable[Key]) -> None:
        """Remove results; one that comes back after a power failure is only reported once more."""
        for key in keys:
            self.path_of(key).unlink(missing_ok=True)
            self.output_path_of(key).unlink(missing_ok=True)

    def _write_one(self, path: Path, pieces: Iterable[bytes]) -> None:
        part = path.with_suffix(".part")
        with open(part, "wb", opener=_private) as file:
            file.writelines(pieces)
            if self._is_synced:
                file.flush()
                os.fsync(file.fileno())
        part.rename(path)

    def path_of(self, key: Key) -> Path:
        """Return the file of an attempt."""
        job, attempt = key
        return self.folder / f"{job}.{attempt}{_SUFFIX}"

    def output_path_of(self, key: Key) -> Path:
        """Return the file of an attempt's large output."""
        job, attempt = key
        return self.folder / f"{job}.{attempt}{_OUTPUT_SUFFIX}"

    def _move_aside(self, path: Path, error: Exception) -> None:
        torn = self.folder / _TORN_FOLDER
        torn.mkdir(exist_ok=True, mode=0o700)
        path.replace(torn / path.name)
        log.error("spool.torn", file=str(torn / path.name), err=type(error).__name__)
        for oldest in sorted(torn.iterdir(), key=lambda file: file.stat().st_mtime_ns)[:-_MAX_TORN]:
            oldest.unlink(missing_ok=True)


class Spool:
    """The files without waiting for the disk in the event loop; what gathers during one write shares the next."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self.writes: GroupCommit[tuple[Key, bytes], None] = GroupCommit(self._write)
        self.removals: GroupCommit[Key, None] = GroupCommit(self._remove)

    async def load(self) -> list[ResultReport]:
        """Return the results of earlier lives of this worker."""
        return await asyncio.to_thread(self._files.load)

    async def put(self, key: Key, content: bytes) -> None:
        """Keep a result. If the disk will not have it, that is logged, and the result lives in memory only."""
        try:
            await self.writes.submit((key, content))
        except OSError as error:
            log.error("spool.write_failed", job=key[0], attempt=key[1], err=str(error))

    async def put_large(self, result: ResultReport, output: str) -> Content:
        """Keep a result (without its output) and its large output; return that as it can be uploaded from there.

        If the disk will not have them, they live in memory only.
        """
        key = (result.job, result.attempt)
        try:
            path = await asyncio.to_thread(self._files.write_output, key, output)
        except OSError as error:
            log.error("spool.write_failed", job=result.job, attempt=result.attempt, err=str(error))
            return content_of(output.encode())
        await self.put(key, msgspec.json.encode(result))
        return content_of_file(path)

    def large_output_of(self, result: ResultReport) -> Content | None:
        """Return the output of a loaded result, unless that has it in itself."""
        return content_of_file(self._files.output_path_of((result.job, result.attempt))) if is_bare(result) else None

    async def drop(self, key: Key) -> None:
        """Let go of a confirmed result."""
        try:
            await self.removals.submit(key)
        except OSError as error:
            log.error("spool.remove_failed", job=key[0], attempt=key[1], err=str(error))

    async def _write(self, results: list[tuple[Key, bytes]]) -> list[None]:
        await asyncio.to_thread(self._files.write, results)
        return [None] * len(results)

    async def _remove(self, keys: list[Key]) -> list[None]:
        await asyncio.to_thread(self._files.remove, keys)
        return [None] * len(keys)


@asynccontextmanager
async def open_spool(folder: Path, *, is_synced: bool) -> AsyncIterator[Spool]:
    """Yield the spool in `folder`. Raises OSError if it cannot be used."""
    files = Files(folder, is_synced=is_synced)
    await asyncio.to_thread(files.prepare)
    spool = Spool(files)
    async with spool.writes, spool.removals:
        yield spool


def is_bare(result: ResultReport) -> bool:
    """Say whether this is a good end whose output is elsewhere."""
    return result.output is None and result.fault is None and not result.refused


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
