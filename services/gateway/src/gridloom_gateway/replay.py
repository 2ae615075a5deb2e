"""Asks the token stream what a worker has said of a job so far (BUS.md §4; a literal subject is an index lookup)."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from gridloom_contract import subjects
from gridloom_contract.streams import TOKENS
from gridloom_contract.work import TokenChunk
from gridloom_gateway.hearing import Page
from gridloom_kit.bus import Bus
from gridloom_kit.jetstream import API_PREFIX
from gridloom_kit.log import get_logger

log = get_logger()

_DIRECT_GET = f"{API_PREFIX}DIRECT.GET.{TOKENS}"
_BATCH = 512
_PAGE_BYTES = 256 * 1024
_MAX_CHUNKS = 200_000
_MAX_CHARACTERS = 32 * 1024 * 1024
"""A worker is a stranger: what it streamed must not fill our memory."""
_PATIENCE_SECONDS = 2.0
_END_OF_BATCH = "204"
_decoder = msgspec.json.Decoder(TokenChunk)


async def chunks_so_far(bus: Bus, worker: str, job: str) -> list[TokenChunk]:
    """Return the chunks that this worker streamed for this job and the stream still has, in order."""
    found: list[TokenChunk] = []
    characters = 0
    page = Page([], 0, is_more=True)
    while page.is_more and len(found) < _MAX_CHUNKS and characters < _MAX_CHARACTERS:
        page = await page_after(bus, worker, job, page.end)
        found += page.chunks
        characters += sum(len(chunk.text) for chunk in page.chunks)
    return found


async def page_after(bus: Bus, worker: str, job: str, sequence: int) -> Page:
    """Return the next chunks that this worker streamed for this job, in order.

    A stream that is missing, or that does not answer in time, has none: the result will have the whole text.
    """
    batch = _Batch()
    subject = subjects.tokens(worker, job)
    query = {"batch": _BATCH, "max_bytes": _PAGE_BYTES, "seq": sequence + 1, "next_by_subj": subject}
    try:
        await _fetch(bus, query, batch)
    except TimeoutError:
        log.warning("replay.unanswered", job=job)
        batch.pending = 0
    end = batch.last_sequence or sequence
    return Page(batch.chunks, end, is_more=bool(batch.pending) and end > sequence)


async def _fetch(bus: Bus, query: dict[str, object], batch: _Batch) -> None:
    inbox = bus.new_inbox()
    subscription = await bus.client.subscribe(inbox, cb=batch.receive)
    try:
        await bus.publish_bytes(_DIRECT_GET, msgspec.json.encode(query), reply=inbox)
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await batch.complete.wait()
    finally:
        await subscription.unsubscribe()


class _Batch:
    """The answers to one request, until the one that says there are no more."""

    def __init__(self) -> None:
        self.chunks: list[TokenChunk] = []
        self.last_sequence = 0
        self.pending = 0
        self.complete = asyncio.Event()

    async def receive(self, message: Any) -> None:
        headers = message.headers or {}
        if "Status" in headers or "Nats-Sequence" not in headers:
            # 204 ends a batch, 404 says there is nothing, 503 that there is no stream.
            self.pending = int(headers.get("Nats-Num-Pending") or 0) if headers.get("Status") == _END_OF_BATCH else 0
            self.complete.set()
            return
        self.last_sequence = int(headers["Nats-Sequence"])
        try:
            self.chunks.append(_decoder.decode(message.data))
        except (msgspec.DecodeError, RecursionError):
            log.warning("replay.undecodable", sequence=self.last_sequence)
