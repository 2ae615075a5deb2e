"""The bodies of webhooks: the bytes that GET answers for a job, in the words of the API that took it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import partial

from gridloom_contract.blobs import Purpose
from gridloom_contract.jobs import MAX_INLINE_BYTES
from gridloom_contract.webhooks import RenderedJob, RenderJob
from gridloom_domain.errors import Invalid
from gridloom_gateway.filling import Rendered, filled
from gridloom_gateway.frames import text_of_body
from gridloom_gateway.objects import Objects, Owner
from gridloom_kit.transfer import Content, content_of

Render = Callable[[str, str], Awaitable[Rendered]]
"""`render(account, job)` returns the job's GET answer at this moment. Raises `FaultError`."""


class Rendering:
    """Answers the webhook service. `dialects` has the renderer of each API that takes webhooks, by its name."""

    def __init__(self, dialects: Mapping[str, Render], objects: Objects) -> None:
        self._dialects = dialects
        self._objects = objects

    async def on_render(self, question: RenderJob) -> RenderedJob:
        """Return the body; a large one is an object.

        Raises `NotFound`, `Invalid` for an API that is not served here, `TooLarge`, or `Unavailable`.
        """
        render = self._dialects.get(question.format)
        if render is None:
            raise Invalid(f"no API called {question.format[:64]!r} renders jobs", "format")
        document = await render(question.account, question.job)
        if document.text_ref is not None:
            content = await self._content_of(document, document.text_ref)
        elif len(document.content) > MAX_INLINE_BYTES:
            content = content_of(document.content)
        else:
            return RenderedJob(body=document.content)
        owner = Owner(question.account, question.job)
        return RenderedJob(ref=await self._objects.store(owner, Purpose.EVENT, content))

    async def _content_of(self, document: Rendered, ref: str) -> Content:
        """Return the filled document. Read twice: its size must be known before it is sent."""
        reading = self._objects.reading
        opening = partial(text_of_body, reading, ref) if document.is_body else partial(reading, ref)

        async def pieces() -> AsyncGenerator[bytes, None]:
            async with opening() as text:
                async for part in filled(document.content, text):
                    yield part

        return Content(sum([len(part) async for part in pieces()]), pieces)
