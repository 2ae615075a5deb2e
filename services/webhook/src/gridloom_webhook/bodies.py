"""The bodies of events: rendered by the gateway, and those too large for the bus and the record fetched as objects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from aiohttp import ClientError, ClientSession, ClientTimeout
from yarl import URL

from gridloom_contract import registry
from gridloom_contract.blobs import ObjectsPresigned, PresignObjects
from gridloom_contract.webhooks import RenderedJob, RenderJob
from gridloom_domain.errors import NotFound, TooLarge, Unavailable
from gridloom_kit.bus import Bus
from gridloom_webhook.record import Delivery, Subscription

_RENDER_SECONDS = 25.0
"""A large body is read, written and copied first; less than until the fact would come again."""
_FETCH = ClientTimeout(total=20, connect=5)
_LINK_SECONDS = 120
_MOST_BYTES = 64 * 1024 * 1024
_LARGE_AT_ONCE = 4


class Bodies:
    """Asks the gateway and the blob service. Large bodies are in memory a few at a time."""

    def __init__(self, bus: Bus, session: ClientSession) -> None:
        self._bus = bus
        self._session = session
        self._places = asyncio.Semaphore(_LARGE_AT_ONCE)

    async def render(self, subscription: Subscription) -> tuple[bytes, str | None]:
        """Return the bytes of a job's GET answer, and the object in which they are kept if they are large.

        Raises `FaultError`.
        """
        question = RenderJob(job=subscription.job, account=subscription.account, format=subscription.format)
        rendered: RenderedJob = await self._bus.request(registry.RENDER_JOB, question, timeout_seconds=_RENDER_SECONDS)
        if rendered.ref is None:
            return rendered.body, None
        async with self._places:
            return await self._fetch(rendered.ref), rendered.ref

    async def render_bytes(self, subscription: Subscription) -> bytes:
        """Return the bytes of a job's GET answer. Raises `FaultError`."""
        return (await self.render(subscription))[0]

    @asynccontextmanager
    async def filled(self, delivery: Delivery) -> AsyncIterator[Delivery]:
        """Yield the delivery with its body. Raises `NotFound` if that is not kept any more, `Unavailable` for now."""
        if delivery.ref is None:
            yield delivery
            return
        async with self._places:
            yield replace(delivery, body=await self._fetch(delivery.ref))

    async def _fetch(self, ref: str) -> bytes:
        question = PresignObjects(refs=(ref,), seconds=_LINK_SECONDS)
        presigned: ObjectsPresigned = await self._bus.request(registry.PRESIGN_OBJECTS, question)
        url = presigned.objects[0].url
        if url is None:
            raise NotFound("the body of this event is not kept any more")
        try:
            async with self._session.get(URL(url, encoded=True), timeout=_FETCH) as answer:
                answer.raise_for_status()
                if (answer.content_length or 0) > _MOST_BYTES:
                    raise TooLarge(f"the body of an event has {answer.content_length} bytes, at most {_MOST_BYTES}")
                return await answer.read()
        except (ClientError, TimeoutError) as error:
            raise Unavailable(f"the body of an event cannot be fetched: {type(error).__name__}") from error
