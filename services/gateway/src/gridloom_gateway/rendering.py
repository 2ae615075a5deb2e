"""The bodies of webhooks: the bytes that GET answers for a job, in the words of the API that took it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from gridloom_contract.webhooks import RenderedJob, RenderJob
from gridloom_domain.errors import Invalid

Render = Callable[[str, str], Awaitable[bytes]]
"""`render(account, job)` returns the body of the job's GET answer at this moment. Raises `FaultError`."""


class Rendering:
    """Answers the webhook service. `dialects` has the renderer of each API that takes webhooks, by its name."""

    def __init__(self, dialects: Mapping[str, Render]) -> None:
        self._dialects = dialects

    async def on_render(self, question: RenderJob) -> RenderedJob:
        """Return the body. Raises `NotFound`, or `Invalid` for an API that is not served here."""
        render = self._dialects.get(question.format)
        if render is None:
            raise Invalid(f"no API called {question.format[:64]!r} renders jobs", "format")
        return RenderedJob(body=await render(question.account, question.job))
