"""The three manners of answering a wish: later, whole, or as it comes. In each the wish is a job like any other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from aiohttp import web

from gridloom_contract.jobs import Job, Submission
from gridloom_contract.vocabulary import State
from gridloom_domain import ids
from gridloom_gateway import replies
from gridloom_gateway.desk import Desk
from gridloom_gateway.dialects.openai import sse
from gridloom_gateway.dialects.openai.routes.outputs import Outputs
from gridloom_gateway.dialects.openai.sse import JOB_HEADER, Events
from gridloom_gateway.dialects.openai.translate.chunks import Chunks
from gridloom_gateway.dialects.openai.translate.faults import failure_of
from gridloom_gateway.dialects.openai.translate.jobs import from_acceptance
from gridloom_gateway.dialects.openai.translate.names import Names
from gridloom_gateway.dialects.openai.translate.requests import Manner, Wish, to_submission
from gridloom_gateway.people import Caller
from gridloom_gateway.supplies import Terms
from gridloom_gateway.unbroken import Unbroken
from gridloom_kit.trace import current_traceparent


@dataclass(frozen=True)
class Visit:
    """One request on its way to its answer. A job that `is_kept` has a key, by which its owner may come back."""

    request: web.Request
    wish: Wish
    submission: Submission
    is_kept: bool

    @property
    def job_name(self) -> str:
        """The job's id as this API spells it."""
        return ids.as_base32(self.submission.job)


class Form(Protocol):
    """How an answer is shaped."""

    async def whole(self, visit: Visit, job: Job) -> web.StreamResponse:
        """Answer with the output of a job that succeeded."""
        ...

    def events(self, visit: Visit) -> Events:
        """Return what makes events of what is said."""
        ...


@dataclass(frozen=True)
class AsTold:
    """Gives answers the form that engines give them."""

    outputs: Outputs

    async def whole(self, visit: Visit, job: Job) -> web.StreamResponse:
        """Answer with all of it."""
        return await self.outputs.answer(visit.request, job)

    def events(self, visit: Visit) -> Events:
        """Return what makes chunks of what is said."""
        wish = visit.wish
        return Chunks(Names(visit.submission.job, wish.kind, wish.model), wants_usage=wish.wants_usage)


@dataclass(frozen=True)
class Answering:
    """Answers wishes, in one form."""

    desk: Desk
    form: Form
    terms: Terms

    async def answer(self, request: web.Request, caller: Caller, wish: Wish) -> web.StreamResponse:
        """Make a job of a wish, and answer in the manner that was asked for."""
        owner = await self.desk.boosted(caller)
        job = self.desk.mint(owner)
        wait = self.terms.capacity_wait_seconds
        submission = to_submission(wish, owner, job, current_traceparent(), wait)
        visit = Visit(request, wish, submission, caller.new_id is not None)
        return await MANNERS[wish.manner](self, visit)

    async def later(self, visit: Visit) -> web.StreamResponse:
        """Answer with the job."""
        acceptance = await self.desk.submit(visit.submission)
        return _about(visit, replies.json(from_acceptance(acceptance, visit.wish), 202))

    async def whole(self, visit: Visit) -> web.StreamResponse:
        """Answer with all of it, once it is there."""
        job = await self.desk.answered(visit.submission, is_kept=visit.is_kept)
        return await self.form.whole(visit, succeeded(job))

    async def streamed(self, visit: Visit) -> web.StreamResponse:
        """Answer with what is said as it is said."""
        events = self.form.events(visit)
        async with self.desk.attended(visit.submission, is_kept=visit.is_kept) as follower:
            reader = Unbroken(follower)
            return await sse.send(visit.request, reader, events, visit.job_name, self.terms.stall_seconds)


def succeeded(job: Job) -> Job:
    """Return the job if it has an answer. Raises `JobFailed`."""
    if job.state is not State.SUCCEEDED:
        raise failure_of(job)
    return job


def _about(visit: Visit, response: web.Response) -> web.Response:
    response.headers[JOB_HEADER] = visit.job_name
    return response


MANNERS: Final[dict[Manner, Callable[[Answering, Visit], Awaitable[web.StreamResponse]]]] = {
    Manner.LATER: Answering.later,
    Manner.WHOLE: Answering.whole,
    Manner.STREAMED: Answering.streamed,
}
