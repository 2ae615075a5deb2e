"""The route of responses: a chat in other words, with nothing remembered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web
from msgspec.json import Decoder

from gridloom_contract.jobs import Job
from gridloom_gateway import replies
from gridloom_gateway.dialects.openai.routes.answering import Answering, Visit
from gridloom_gateway.dialects.openai.routes.inference import inference_row
from gridloom_gateway.dialects.openai.routes.outputs import Outputs
from gridloom_gateway.dialects.openai.sse import JOB_HEADER, Events
from gridloom_gateway.dialects.openai.translate.responses.events import ResponseEvents
from gridloom_gateway.dialects.openai.translate.responses.items import Teller, from_job
from gridloom_gateway.dialects.openai.translate.responses.requests import to_wish
from gridloom_gateway.dialects.openai.wire import responses as wire
from gridloom_gateway.people import Caller
from gridloom_gateway.reading import BodyReader, invalid
from gridloom_gateway.route import Route

_object = Decoder(dict[str, Any])


@dataclass(frozen=True)
class AsResponse:
    """Gives answers the form of a response."""

    outputs: Outputs

    async def whole(self, visit: Visit, job: Job) -> web.StreamResponse:
        """Answer with all of it."""
        response = replies.json(from_job(await self.outputs.fetched(job), visit.wish.repeated))
        response.headers[JOB_HEADER] = visit.job_name
        return response

    def events(self, visit: Visit) -> Events:
        """Return what makes events of what is said."""
        return ResponseEvents(Teller(visit.submission.job, visit.wish.model, visit.wish.repeated))


@dataclass(frozen=True)
class Responses:
    """The handlers."""

    answering: Answering
    bodies: BodyReader

    async def create(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """POST /responses."""
        body = await self.bodies.decode(request, _object)
        try:
            told = msgspec.convert(body, wire.CreateResponse)
        except msgspec.ValidationError as error:
            raise invalid(error) from None
        return await self.answering.answer(request, caller, to_wish(told, body))


def routes(responses: Responses) -> tuple[Route, ...]:
    """Return the rows."""
    bodies = (wire.CreateResponse, wire.Response)
    return (inference_row("/responses", responses.create, "Continue a conversation, in OpenAI's later words", bodies),)
