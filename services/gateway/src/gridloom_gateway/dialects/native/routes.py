"""The routes of the native API: decode, translate, ask the desk, translate, encode."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

from aiohttp import web
from msgspec.json import Decoder

from gridloom_contract.fault import FaultCode, FaultError
from gridloom_contract.jobs import Job
from gridloom_gateway import replies, sse
from gridloom_gateway.desk import Desk
from gridloom_gateway.dialects.native import stream, translate, usage, wire
from gridloom_gateway.dialects.native.blobs import routes as blobs
from gridloom_gateway.dialects.native.webhooks import routes as hooks
from gridloom_gateway.door import key_of
from gridloom_gateway.filling import Rendered, rendered
from gridloom_gateway.people import READ, WRITE, Caller
from gridloom_gateway.reading import BodyReader, Malformed, query
from gridloom_gateway.route import EVENT_STREAM, Audience, Dialect, Route
from gridloom_gateway.supplies import Supplies
from gridloom_gateway.webhooks import WebhookOrders
from gridloom_kit.trace import current_traceparent

NAME: Final = translate.DIALECT

_MALFORMED_STATUS: Final = 400
_BODY: Final = (FaultCode.INVALID, FaultCode.TOO_LARGE, FaultCode.UNSUPPORTED_MEDIA, FaultCode.REQUEST_TIMEOUT)
_ONE: Final = (FaultCode.NOT_FOUND,)
_CHANGE: Final = (FaultCode.NOT_FOUND, FaultCode.CONFLICT)

_submit = Decoder(wire.SubmitJob)
_priority = Decoder(wire.ChangePriority)


@dataclass(frozen=True)
class Native:
    """The handlers; `stall_seconds` is how long a reader of a stream may take nothing."""

    desk: Desk
    webhooks: WebhookOrders
    bodies: BodyReader
    stall_seconds: float

    async def submit(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """POST /jobs."""
        body = await self.bodies.decode(request, _submit)
        caller = await self.desk.boosted(caller)
        job = self.desk.mint(caller)
        webhook = self.webhooks.order(body.webhook_url, key_of(request), job, translate.DIALECT)
        submission = translate.to_submission(body, caller, job, webhook, current_traceparent())
        acceptance = await self.desk.submit(submission)
        return replies.json(translate.from_acceptance(acceptance), 201)

    async def list(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """GET /jobs."""
        wanted = query(request, wire.ListQuery)
        page = await self.desk.list(translate.to_listing(wanted, caller.account))
        return replies.json(translate.from_page(page, wanted))

    async def get(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """GET /jobs/{id}."""
        return await self._answer(request, await self.desk.get(caller.account, _job_in(request)))

    async def render(self, account: str, job: str) -> Rendered:
        """Return the bytes that GET answers, and that a webhook carries. Raises `NotFound`."""
        return rendered(await self.desk.get(account, job), translate.from_job)

    async def cancel(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """DELETE /jobs/{id}."""
        return await self._answer(request, await self.desk.cancel(caller.account, _job_in(request), waiting_only=True))

    async def stop(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """POST /jobs/{id}/cancel: S0 cancels pending jobs only; this one stops a running one too."""
        return await self._answer(request, await self.desk.cancel(caller.account, _job_in(request), waiting_only=False))

    async def cancel_all(self, _request: web.Request, caller: Caller) -> web.StreamResponse:
        """DELETE /jobs/cancel_all."""
        return replies.json(wire.Cancelled(cancelled=await self.desk.cancel_all(caller.account)))

    async def retry(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """POST /jobs/{id}/retry."""
        name = _job_in(request)
        job = await self.desk.retry(caller.account, name, self.webhooks.sealed(key_of(request), name))
        return await self._answer(request, job)

    async def reprioritise(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """PATCH /jobs/{id}/priority."""
        name = _job_in(request)
        change = await self.bodies.decode(request, _priority)
        return await self._answer(request, await self.desk.reprioritise(caller.account, name, change.priority))

    async def follow(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """GET /jobs/{id}/stream."""
        job = _job_in(request)
        start = translate.to_position(request.headers.get("Last-Event-ID"))
        async with self.desk.follow(caller.account, job, start) as follower:
            return await sse.send(request, follower, partial(stream.to_frame, job), self.stall_seconds)

    async def timeline(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """GET /jobs/{id}/timeline."""
        timeline = await self.desk.timeline(caller.account, _job_in(request))
        return replies.json(stream.from_timeline(timeline))

    async def _answer(self, request: web.Request, job: Job) -> web.StreamResponse:
        return await replies.document(request, rendered(job, translate.from_job), self.desk, self.stall_seconds)

    async def models(self, _request: web.Request, caller: Caller) -> web.StreamResponse:
        """GET /models."""
        models = await self.desk.models(caller.account, online_only=True)
        return replies.json([translate.from_model(model) for model in models])


def dialect(supplies: Supplies) -> Dialect:
    """Return the native API as a value."""
    bodies = supplies.bodies
    native = Native(supplies.desk, supplies.webhooks, bodies, supplies.terms.stall_seconds)
    return Dialect(
        name=NAME,
        audience=Audience.ACCOUNT,
        routes=(
            *_routes(native),
            *hooks.routes(hooks.Webhooks(supplies.deliveries, bodies)),
            *usage.routes(supplies.usage),
            *blobs.routes(blobs.Blobs(supplies.files, bodies)),
        ),
        render=render,
        statuses=translate.HTTP,
        error=wire.Error,
        malformed_status=_MALFORMED_STATUS,
        document=native.render,
    )


def render(error: FaultError, request_id: str) -> web.Response:
    """Return an error as this API spells it. A body that is no JSON is 400, JSON with wrong content 422."""
    fault = error.fault
    if isinstance(error, Malformed):
        return replies.error(translate.from_fault(fault, request_id, "malformed"), _MALFORMED_STATUS, fault)
    return replies.error(translate.from_fault(fault, request_id), translate.HTTP[fault.code], fault)


def _job_in(request: web.Request) -> str:
    return translate.to_job_id(request.match_info["id"])


def _routes(native: Native) -> tuple[Route, ...]:
    return (*_collection(native), *_one_job(native), *_changes(native))


def _collection(native: Native) -> tuple[Route, ...]:
    return (
        Route(
            "POST",
            "/jobs",
            native.submit,
            "Submit a job",
            response=wire.Submitted,
            status=201,
            request=wire.SubmitJob,
            faults=_BODY,
            scope=WRITE,
            gives=(("id", "job_id"),),
            rate_group="native.submit",
            is_made_under_id=True,
        ),
        Route(
            "GET",
            "/jobs",
            native.list,
            "List jobs, newest first",
            response=wire.JobList,
            query=wire.ListQuery,
            faults=(FaultCode.INVALID,),
            scope=READ,
        ),
        Route(
            "DELETE",
            "/jobs/cancel_all",
            native.cancel_all,
            "Cancel all pending jobs",
            response=wire.Cancelled,
            scope=WRITE,
        ),
        Route("GET", "/models", native.models, "List the models online now", response=list[wire.Model], scope=READ),
    )


def _one_job(native: Native) -> tuple[Route, ...]:
    return (
        Route("GET", "/jobs/{id}", native.get, "Get a job", response=wire.JobDocument, faults=_ONE, scope=READ),
        Route(
            "GET",
            "/jobs/{id}/stream",
            native.follow,
            "Follow a job's states and text as they come; `Last-Event-ID` resumes",
            response=str,
            faults=_ONE,
            scope=READ,
            media=EVENT_STREAM,
        ),
        Route(
            "GET",
            "/jobs/{id}/timeline",
            native.timeline,
            "All that happened to a job",
            response=wire.TimelineDocument,
            faults=_ONE,
            scope=READ,
        ),
    )


def _changes(native: Native) -> tuple[Route, ...]:
    return (
        Route(
            "DELETE",
            "/jobs/{id}",
            native.cancel,
            "Cancel a pending job",
            response=wire.JobDocument,
            faults=_CHANGE,
            scope=WRITE,
        ),
        Route(
            "POST",
            "/jobs/{id}/cancel",
            native.stop,
            "Cancel a job, pending or running",
            response=wire.JobDocument,
            faults=_CHANGE,
            scope=WRITE,
        ),
        Route(
            "POST",
            "/jobs/{id}/retry",
            native.retry,
            "Run a failed job again",
            response=wire.JobDocument,
            faults=_CHANGE,
            scope=WRITE,
        ),
        Route(
            "PATCH",
            "/jobs/{id}/priority",
            native.reprioritise,
            "Raise or lower the priority of a pending job",
            response=wire.JobDocument,
            request=wire.ChangePriority,
            faults=_CHANGE + _BODY,
            scope=WRITE,
        ),
    )
