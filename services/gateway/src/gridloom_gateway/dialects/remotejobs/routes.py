"""The routes of the remote jobs API: decode, translate, ask the desk, translate, encode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from msgspec.json import Decoder

from gridloom_contract.fault import FaultCode, FaultError
from gridloom_contract.vocabulary import State
from gridloom_gateway import replies
from gridloom_gateway.dialects.remotejobs import translate, wire
from gridloom_gateway.filling import PLACE, filled_each
from gridloom_gateway.logs import text_of
from gridloom_gateway.people import READ, WRITE, Caller
from gridloom_gateway.route import Audience, Dialect, Route
from gridloom_gateway.supplies import Supplies
from gridloom_kit.trace import current_traceparent

_SUBMIT: Final = (
    FaultCode.INVALID,
    FaultCode.UNKNOWN_MODEL,
    FaultCode.TOO_LARGE,
    FaultCode.UNSUPPORTED_MEDIA,
    FaultCode.REQUEST_TIMEOUT,
)

_submit = Decoder(wire.SubmitJob)


@dataclass(frozen=True)
class RemoteJobs:
    """The handlers; `words` are those for states."""

    supplies: Supplies
    words: Mapping[State, str]

    async def submit(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """POST /jobs."""
        desk = self.supplies.desk
        body = await self.supplies.bodies.decode(request, _submit)
        caller = await desk.boosted(caller)
        wanted = translate.to_submissions(body, caller, desk.mint(caller), current_traceparent())
        taken = await desk.submit_all(wanted, is_kept=caller.new_id is not None)
        return replies.json(translate.from_acceptances(taken))

    async def get(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """GET /jobs/{ids}."""
        names = translate.to_job_ids(request.match_info["ids"])
        jobs = await self.supplies.desk.get_all(caller.account, names)
        logs = await self.supplies.logs.of_all(jobs)
        now = self.supplies.clock.now()
        shown = {
            job.job: translate.from_job(job, log.said if log.rest is None else PLACE, self.words, now)
            for job, log in zip(jobs, logs, strict=True)
        }
        content = replies.encode(wire.Jobs(jobs=shown))
        large = [text_of(log) for log in logs if log.rest is not None]
        if not large:
            return replies.json_bytes(content)
        return await replies.stream(request, filled_each(content, large), self.supplies.terms.stall_seconds)


def dialect(supplies: Supplies) -> Dialect:
    """Return the remote jobs API as a value. Raises ValueError for words that are none."""
    return Dialect(
        name=translate.DIALECT,
        audience=Audience.ACCOUNT,
        routes=_routes(RemoteJobs(supplies, translate.to_words(supplies.terms.remotejobs_words))),
        render=render,
        statuses=translate.HTTP,
        error=wire.Failure,
    )


def render(error: FaultError, _request_id: str) -> web.Response:
    """Return an error as this API spells it."""
    return replies.error(translate.from_fault(error.fault), translate.HTTP[error.fault.code], error.fault)


def _routes(handlers: RemoteJobs) -> tuple[Route, ...]:
    return (
        Route(
            "POST",
            "/jobs",
            handlers.submit,
            "Submit a job",
            response=wire.Submitted,
            request=wire.SubmitJob,
            faults=_SUBMIT,
            scope=WRITE,
            gives=(("ids", "ids/0"),),
            rate_group="remotejobs.submit",
            is_made_under_id=True,
        ),
        Route(
            "GET",
            "/jobs/{ids}",
            handlers.get,
            "Get jobs by their ids, with commas between",
            response=wire.Jobs,
            faults=(FaultCode.NOT_FOUND, FaultCode.INVALID),
            scope=READ,
        ),
    )
