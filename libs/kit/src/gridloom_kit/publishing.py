"""Storing many messages in JetStream with one wait: over one inbox, without a future a message.

Facts that come in numbers go as one atomic batch (ADR-50), because JetStream then syncs its disk some five times for
all of them instead of once for each: measured with `sync_interval: always`, 64 messages at a time, 12,500 a second
instead of 1,300. A batch is stored as a whole or not at all; one that is refused (a fact in it is known already) goes
again, message by message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from secrets import token_hex
from typing import TYPE_CHECKING, Final

from nats.aio.msg import Msg

from gridloom_contract.base import encode
from gridloom_contract.streams import ATOMIC_SUBJECTS
from gridloom_kit import metrics
from gridloom_kit.jetstream import Outgoing
from gridloom_kit.log import get_logger
from gridloom_kit.wire import with_trace

if TYPE_CHECKING:
    from gridloom_kit.bus import Bus

log = get_logger()

_PATIENCE_SECONDS: Final = 6.0
"""A leader change takes 4-8 s; whoever publishes keeps the message and tries again."""
_WORTH_A_BATCH: Final = 10
"""A batch costs some five disk syncs whatever its size: staged, checked, and committed."""
_MOST_IN_A_BATCH: Final = 1000


class Publisher:
    """Publishes and waits once for all acknowledgements."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._inbox = ""
        self._waits: dict[str, _Wait] = {}
        self._count = 0
        self._name = token_hex(8)

    async def publish_many(self, items: Sequence[Outgoing]) -> list[bool]:
        """Return for each item whether it is stored (again is stored too).

        Never raises for one that is not: try it again.
        """
        if not items:
            return []
        await self._open()
        with metrics.publish_seconds.time():
            stored = await self._publish(items)
        metrics.publish_refused.inc(stored.count(False))
        return stored

    def abandon(self) -> None:
        """Stop waiting for acknowledgements lost with the connection; what has none counts as not stored."""
        for wait in self._waits.values():
            wait.abandon()

    async def _open(self) -> None:
        if not self._inbox:
            self._inbox = self._bus.new_inbox()
            await self._bus.client.subscribe(f"{self._inbox}.*.*", cb=self._on_ack)

    async def _publish(self, items: Sequence[Outgoing]) -> list[bool]:
        """Publish what may go together as a batch, if that is worth it, and the rest at the same time."""
        together = [index for index, item in enumerate(items) if item.subject.startswith(ATOMIC_SUBJECTS)]
        if not _WORTH_A_BATCH <= len(together) <= _MOST_IN_A_BATCH:
            return await self._each(items)
        alone = sorted(set(range(len(items))).difference(together))
        batch, single = [items[index] for index in together], [items[index] for index in alone]
        answers = await asyncio.gather(self._together(batch), self._each(single))
        stored = dict(zip([*together, *alone], [*answers[0], *answers[1]], strict=True))
        return [stored[index] for index in range(len(items))]

    async def _together(self, items: Sequence[Outgoing]) -> list[bool]:
        """Store all by one commit; if that fails, each by itself."""
        with self._waiting(1) as (name, wait):
            batch = f"{self._name}-{name}"
            for number, item in enumerate(items, 1):
                is_last = number == len(items)
                headers = {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
                commit = {"Nats-Batch-Commit": "1"} if is_last else {}
                if not await self._send(item, f"{self._inbox}.{name}.0" if is_last else "", headers | commit):
                    return await self._each(items)
            await wait.done()
            is_stored = wait.stored[0]
        return [True] * len(items) if is_stored else await self._each(items)

    async def _each(self, items: Sequence[Outgoing]) -> list[bool]:
        with self._waiting(len(items)) as (name, wait):
            for index, item in enumerate(items):
                if not await self._send(item, f"{self._inbox}.{name}.{index}"):
                    wait.note(index, stored=False)
            await wait.done()
            return wait.stored

    @contextmanager
    def _waiting(self, size: int) -> Iterator[tuple[str, _Wait]]:
        self._count += 1
        name = str(self._count)
        wait = self._waits[name] = _Wait(size)
        try:
            yield name, wait
        finally:
            del self._waits[name]

    async def _send(self, item: Outgoing, reply: str, headers: dict[str, str] | None = None) -> bool:
        """Return whether it went out. One bad message must not stop the others."""
        try:
            payload = encode(item.message)
            self._bus.guard_size(item.subject, payload)
            every = with_trace({"Nats-Msg-Id": item.message_id, **(headers or {})})
            await self._bus.client.publish(item.subject, payload, reply=reply, headers=every)
        except Exception as error:  # noqa: BLE001 - whatever it is, this message has not gone out
            log.warning("jetstream.not_sent", subject_root=item.subject.split(".", 1)[0], err=str(error))
            return False
        return True

    async def _on_ack(self, received: Msg) -> None:
        name, index = received.subject.rsplit(".", 2)[1:]
        wait = self._waits.get(name)
        if wait is None:
            return
        stored = bool(received.data) and b'"error"' not in received.data
        if not stored:
            log.warning("jetstream.refused", answer=received.data[:200].decode(errors="replace"))
        wait.note(int(index), stored=stored)


class _Wait:
    """The acknowledgements of what was sent together, counted down."""

    def __init__(self, size: int) -> None:
        self.stored = [False] * size
        self._missing = size
        self._is_done = asyncio.Event()

    def note(self, index: int, *, stored: bool) -> None:
        self.stored[index] = stored
        self._missing -= 1
        if self._missing <= 0:
            self._is_done.set()

    def abandon(self) -> None:
        self._is_done.set()

    async def done(self) -> None:
        if not self.stored:
            return
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._is_done.wait()
        except TimeoutError:
            log.warning("jetstream.acknowledgements_missing", missing=self._missing)
