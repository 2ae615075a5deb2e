"""The routes of jobs that nobody waits for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from gridloom_contract.fault import FaultCode
from gridloom_gateway import replies
from gridloom_gateway.desk import Desk
from gridloom_gateway.dialects.openai import sse
from gridloom_gateway.dialects.openai.routes.outputs import Outputs
from gridloom_gateway.dialects.openai.translate import jobs as translate
from gridloom_gateway.dialects.openai.translate.chunks import Chunks
from gridloom_gateway.dialects.openai.translate.names import names_of, to_job_id
from gridloom_gateway.dialects.openai.wire import jobs as wire
from gridloom_gateway.people import READ, WRITE, Caller
from gridloom_gateway.reading import query
from gridloom_gateway.route import EVENT_STREAM, Route
from gridloom_gateway.unbroken import Unbroken
from gridloom_gateway.updates import position_in

_ONE: Final = (FaultCode.NOT_FOUND,)
_CHANGE: Final = (FaultCode.NOT_FOUND, FaultCode.CONFLICT)


@dataclass(frozen=True)
class Jobs:
    """The handlers."""

    desk: Desk
    outputs: Outputs

    async def list(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """GET /jobs."""
        wanted = query(request, wire.ListQuery)
        page = await self.desk.list(translate.to_listing(wanted, caller.account))
        return replies.json(translate.from_page(page, wanted))

    async def get(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """GET /jobs/{id}."""
        [job] = await self.desk.get_all(caller.account, [_job_in(request)])
        return replies.json(translate.from_job(await self.outputs.fetched(job)))

    async def cancel(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """POST /jobs/{id}/cancel."""
        job = await self.desk.cancel(caller.account, _job_in(request), waiting_only=False)
        return replies.json(translate.cancellation_of(job))

    async def retry(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """POST /jobs/{id}/retry."""
        job = await self.desk.retry(caller.account, _job_in(request), None)
        return replies.json(translate.envelope_of(job), 202)

    async def follow(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """GET /jobs/{id}/stream."""
        name = request.match_info["id"]
        job = await self.desk.get(caller.account, _job_in(request))
        translate.check_is_spoken(job)
        start = position_in(request.headers.get("Last-Event-ID"))
        chunks = Chunks(names_of(job), wants_usage=True, start=start)
        async with self.desk.follow(caller.account, job.job, start) as follower:
            return await sse.send(request, Unbroken(follower, start), chunks, name, self.outputs.stall_seconds)


def routes(jobs: Jobs) -> tuple[Route, ...]:
    """Return the rows."""
    return (*_reading(jobs), *_changing(jobs))


def _reading(jobs: Jobs) -> tuple[Route, ...]:
    return (
        Route(
            "GET",
            "/jobs",
            jobs.list,
            "List jobs that nobody waits for, newest first",
            response=wire.JobList,
            query=wire.ListQuery,
            faults=(FaultCode.INVALID,),
            scope=READ,
        ),
        Route("GET", "/jobs/{id}", jobs.get, "Get a job", response=wire.JobDocument, faults=_ONE, scope=READ),
        Route(
            "GET",
            "/jobs/{id}/stream",
            jobs.follow,
            "Follow a job as if its request had been streamed; `Last-Event-ID` resumes",
            response=str,
            faults=_ONE,
            scope=READ,
            media=EVENT_STREAM,
        ),
    )


def _changing(jobs: Jobs) -> tuple[Route, ...]:
    return (
        Route(
            "POST",
            "/jobs/{id}/cancel",
            jobs.cancel,
            "Cancel a job; one that has ended stays as it is",
            response=wire.Cancellation,
            faults=_ONE,
            scope=WRITE,
        ),
        Route(
            "POST",
            "/jobs/{id}/retry",
            jobs.retry,
            "Run a job again that failed or was canceled",
            response=wire.JobEnvelope,
            status=202,
            faults=_CHANGE,
            scope=WRITE,
        ),
    )


def _job_in(request: web.Request) -> str:
    return to_job_id(request.match_info["id"])
