"""The routes of Infernet's API: decode, translate, ask the desk, translate, encode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiohttp import web
from msgspec.json import Decoder

from gridloom_contract.fault import FaultCode, FaultError
from gridloom_contract.jobs import Submission
from gridloom_gateway import replies
from gridloom_gateway.dialects.infernet import sse as frames
from gridloom_gateway.dialects.infernet import translate, wire
from gridloom_gateway.filling import rendered
from gridloom_gateway.people import READ, WRITE, Caller
from gridloom_gateway.reading import query
from gridloom_gateway.route import EVENT_STREAM, Audience, Dialect, NoSuchRoute, Route
from gridloom_gateway.sse import send
from gridloom_gateway.supplies import Supplies
from gridloom_gateway.unbroken import Unbroken
from gridloom_gateway.updates import Position, position_in
from gridloom_kit.trace import current_traceparent

_ONE: Final = (FaultCode.NOT_FOUND,)
_SUBMIT: Final = (
    FaultCode.INVALID,
    FaultCode.UNKNOWN_MODEL,
    FaultCode.NO_CAPACITY,
    FaultCode.TOO_LARGE,
    FaultCode.UNSUPPORTED_MEDIA,
    FaultCode.REQUEST_TIMEOUT,
)

_submit = Decoder(wire.SubmitJob)


@dataclass(frozen=True)
class Infernet:
    """The handlers."""

    supplies: Supplies

    async def submit(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """POST /jobs."""
        desk, terms = self.supplies.desk, self.supplies.terms
        body = await self.supplies.bodies.decode(request, _submit)
        caller = await desk.boosted(caller)
        submission = translate.to_submission(
            body, caller, desk.mint(caller), terms.capacity_wait_seconds, current_traceparent()
        )
        return await _ANSWERS[bool(body.stream)](self, request, submission)

    async def answer(self, _request: web.Request, submission: Submission) -> web.StreamResponse:
        """Hand the job in and answer that it was."""
        acceptance = await self.supplies.desk.submit(submission)
        return replies.json(translate.from_acceptance(acceptance, submission.model), 201)

    async def stream(self, request: web.Request, submission: Submission) -> web.StreamResponse:
        """Hand the job in and answer with its text as it comes."""
        await self.supplies.desk.submit(submission)
        return await self._send(request, submission.account, submission.job, None)

    async def list(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """GET /jobs."""
        wanted = query(request, wire.ListQuery)
        page = await self.supplies.desk.list(translate.to_listing(wanted, caller.account))
        return replies.json(translate.from_page(page))

    async def get(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """GET /jobs/{id}."""
        desk, terms = self.supplies.desk, self.supplies.terms
        job = await desk.get(caller.account, _job_in(request))
        return await replies.document(request, rendered(job, translate.from_job), desk, terms.stall_seconds)

    async def follow(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """GET /jobs/{id}/stream."""
        start = position_in(request.headers.get("Last-Event-ID"))
        return await self._send(request, caller.account, _job_in(request), start)

    async def models(self, _request: web.Request, caller: Caller) -> web.StreamResponse:
        """GET /models."""
        models = await self.supplies.desk.models(caller.account, online_only=True)
        return replies.json(translate.from_models(models))

    async def _send(self, request: web.Request, account: str, job: str, start: Position | None) -> web.StreamResponse:
        async with self.supplies.desk.follow(account, job, start) as follower:
            reader = Unbroken(follower, start)
            named = {replies.JOB_HEADER: translate.from_job_id(job)}
            return await send(request, reader, frames.to_frame, self.supplies.terms.stall_seconds, named)


_ANSWERS: Final = {False: Infernet.answer, True: Infernet.stream}


def dialect(supplies: Supplies) -> Dialect:
    """Return Infernet's API as a value."""
    infernet = Infernet(supplies)
    return Dialect(
        name=translate.DIALECT,
        audience=Audience.ACCOUNT,
        routes=_routes(infernet),
        render=render,
        statuses=translate.HTTP,
        error=wire.Error,
        rates=translate.RATES,
        rate_headers=translate.from_decision,
    )


def render(error: FaultError, _request_id: str) -> web.Response:
    """Return an error as this API spells it. What is not found is a job, or else a route."""
    fault = error.fault
    body = translate.from_no_route(fault) if isinstance(error, NoSuchRoute) else translate.from_fault(fault)
    return replies.error(body, translate.HTTP[fault.code], fault)


def _job_in(request: web.Request) -> str:
    return translate.to_job_id(request.match_info["id"])


def _routes(infernet: Infernet) -> tuple[Route, ...]:
    return (
        Route(
            "POST",
            "/jobs",
            infernet.submit,
            "Submit a job; with `stream` the answer is the event stream of its text",
            response=wire.JobDocument,
            status=201,
            request=wire.SubmitJob,
            faults=_SUBMIT,
            scope=WRITE,
            gives=(("id", "id"),),
            rate_group="infernet.submit",
            is_made_under_id=True,
        ),
        Route(
            "GET",
            "/jobs",
            infernet.list,
            "List jobs, newest first",
            response=wire.JobList,
            query=wire.ListQuery,
            faults=(FaultCode.INVALID,),
            scope=READ,
        ),
        Route("GET", "/jobs/{id}", infernet.get, "Get a job", response=wire.JobDocument, faults=_ONE, scope=READ),
        Route(
            "GET",
            "/jobs/{id}/stream",
            infernet.follow,
            "Follow a job's text from its beginning; `Last-Event-ID` resumes",
            response=str,
            faults=_ONE,
            scope=READ,
            media=EVENT_STREAM,
        ),
        Route("GET", "/models", infernet.models, "List the models online now", response=wire.Models, scope=READ),
    )
