"""The text of one attempt on its way to whoever follows the job: chunks with offsets, gathered when there are many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from gridloom_contract import subjects
from gridloom_contract.fault import FaultError
from gridloom_contract.work import TokenChunk, WorkOrder
from gridloom_kit.bus import Bus
from gridloom_kit.clock import Clock
from gridloom_kit.log import get_logger
from gridloom_worker import rules
from gridloom_worker.text import mended

log = get_logger()


class Line(Protocol):
    """Where chunks go. They may be lost: the result carries the whole text."""

    @property
    def is_up(self) -> bool:
        """Whether sending makes sense now."""
        ...

    @property
    def unsent_bytes(self) -> int:
        """How far the connection is behind."""
        ...

    async def send(self, chunk: TokenChunk) -> None:
        """Send without waiting for anyone."""
        ...


class BusLine:
    """The worker's own connection."""

    def __init__(self, bus: Bus, worker: str) -> None:
        self._bus = bus
        self._worker = worker

    @property
    def is_up(self) -> bool:
        """Whether the connection stands."""
        return self._bus.is_connected

    @property
    def unsent_bytes(self) -> int:
        """What the client has not handed to the socket yet."""
        return int(self._bus.client.pending_data_size)

    async def send(self, chunk: TokenChunk) -> None:
        """Publish on the job's own token subject. A connection that breaks now loses the chunk, and no text."""
        try:
            await self._bus.publish(subjects.tokens(self._worker, chunk.job), chunk)
        except Exception as error:  # noqa: BLE001 - whatever the client raises, the job goes on
            log.warning("stream.chunk_lost", job=chunk.job, err=type(error).__name__)


class Streams:
    """Makes the streams of attempts. An answer may have `most_bytes`."""

    def __init__(self, line: Line, clock: Clock, most_bytes: int) -> None:
        self._line = line
        self._clock = clock
        self._most_bytes = most_bytes

    def of(self, order: WorkOrder) -> TextStream:
        """Return the stream of one attempt."""
        return TextStream(order, self._line, self._clock, self._most_bytes)


class TextStream:
    """The text of one attempt: collected whole, and sent on as it comes by `relay`, which `on_first_text` has begun.

    After a broken connection everything is sent again from the start: the server's memory of the tokens may be gone,
    and followers see by the offset what they already have.
    """

    def __init__(self, order: WorkOrder, line: Line, clock: Clock, limit_bytes: int) -> None:
        self.first_text_at: float | None = None
        self.on_first_text: Callable[[], object] | None = None
        self._order = order
        self._line = line
        self._clock = clock
        self._limit_bytes = limit_bytes
        self._size_bytes = 0
        self._parts: list[str] = []
        self._sent_parts = 0
        self._sent_characters = 0
        self._news = asyncio.Event()
        self._sending = asyncio.Lock()

    @property
    def text(self) -> str:
        """Everything so far."""
        return "".join(self._parts)

    @property
    def characters(self) -> int:
        """How many characters there are so far."""
        return sum(map(len, self._parts))

    def feed(self, piece: str) -> None:
        """Take the next piece from the engine. Raises `FaultError` (too_large) once no result could carry the text."""
        if not piece:
            return
        piece = mended(piece)
        if self.first_text_at is None:
            self.first_text_at = self._clock.monotonic()
            if self.on_first_text is not None:
                self.on_first_text()
        self._parts.append(piece)
        self._size_bytes += len(piece.encode())
        if self._size_bytes > self._limit_bytes:
            raise FaultError(rules.too_large(self._size_bytes, self._limit_bytes))
        self._news.set()

    def begin_again(self) -> None:
        """Send everything again from the first character."""
        self._sent_parts = self._sent_characters = 0
        self._news.set()

    async def relay(self) -> None:
        """Send text as it comes, until canceled."""
        last_sent_at = -rules.BEHIND_GAP_SECONDS
        while True:
            await self._news.wait()
            since_last = self._clock.monotonic() - last_sent_at
            await asyncio.sleep(rules.chunk_pause_seconds(since_last, self._line.unsent_bytes))
            last_sent_at = self._clock.monotonic()
            await self._send_unsent()

    async def finish(self) -> None:
        """Send what is left: after this the result may be reported."""
        await self._send_unsent()

    async def _send_unsent(self) -> None:
        async with self._sending:
            self._news.clear()
            if self._line.is_up:
                for chunk in self._take_unsent():
                    await self._line.send(chunk)

    def _take_unsent(self) -> list[TokenChunk]:
        unsent = "".join(self._parts[self._sent_parts :])
        offset = self._sent_characters
        # What is sent becomes one part: a long answer in single tokens would take ten times its size.
        self._parts[self._sent_parts :] = [unsent] if unsent else []
        self._sent_parts = len(self._parts)
        self._sent_characters += len(unsent)
        chunks: list[TokenChunk] = []
        for piece in rules.pieces(unsent) if self._order.task.raw is None else rules.whole_frames(unsent):
            chunks.append(TokenChunk(job=self._order.job, attempt=self._order.attempt, offset=offset, text=piece))
            offset += len(piece)
        return chunks
