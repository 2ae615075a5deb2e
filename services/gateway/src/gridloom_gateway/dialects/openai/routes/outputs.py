"""The outputs of jobs as bodies: at hand, passed on as they come, or fetched where they have to be changed."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from aiohttp import web

from gridloom_contract.jobs import Job
from gridloom_contract.vocabulary import State
from gridloom_domain import ids
from gridloom_gateway import replies
from gridloom_gateway.desk import Desk
from gridloom_gateway.dialects.openai.sse import JOB_HEADER
from gridloom_gateway.dialects.openai.translate.bodies import body_of, must_be_whole, named
from gridloom_gateway.dialects.openai.translate.names import names_of
from gridloom_gateway.frames import whole_text


@dataclass(frozen=True)
class Outputs:
    """Gives outputs to those who asked. `stall_seconds` is how long a reader may take nothing."""

    desk: Desk
    stall_seconds: float

    async def answer(self, request: web.Request, job: Job) -> web.StreamResponse:
        """Answer with the body of a job that succeeded. Raises `FaultError` before anything is sent."""
        headers = {JOB_HEADER: ids.as_base32(job.job)}
        if job.output_ref is None or must_be_whole(job):
            response = replies.json_bytes(body_of(await self.fetched(job)))
            response.headers.update(headers)
            return response
        async with self.desk.text(job.output_ref) as pieces:
            return await replies.stream(request, named(names_of(job), pieces), self.stall_seconds, headers)

    async def fetched(self, job: Job) -> Job:
        """Return the job with its output at hand, wherever it is kept. Raises `Unavailable`."""
        if job.output_ref is None or job.state is not State.SUCCEEDED:
            return job
        async with self.desk.text(job.output_ref) as pieces:
            return msgspec.structs.replace(job, output=await whole_text(pieces))
