"""The routes that answer with what an engine says: at once, as it comes, or later with `async`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec.json import Decoder

from gridloom_contract.fault import FaultCode
from gridloom_contract.vocabulary import Kind
from gridloom_gateway.dialects.openai.routes.answering import Answering
from gridloom_gateway.dialects.openai.translate.requests import Wish, to_wish
from gridloom_gateway.dialects.openai.wire import answers, requests
from gridloom_gateway.dialects.openai.wire.jobs import JobEnvelope
from gridloom_gateway.people import WRITE, Caller
from gridloom_gateway.reading import BodyReader, invalid
from gridloom_gateway.route import EVENT_STREAM, Handler, Route

FAULTS: Final = (
    FaultCode.INVALID,
    FaultCode.UNKNOWN_MODEL,
    FaultCode.CONFLICT,
    FaultCode.TOO_LARGE,
    FaultCode.UNSUPPORTED_MEDIA,
    FaultCode.REQUEST_TIMEOUT,
    FaultCode.UPSTREAM,
)

_object = Decoder(dict[str, Any])


@dataclass(frozen=True)
class Inference:
    """The handlers."""

    answering: Answering
    bodies: BodyReader

    async def chat(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """POST /chat/completions."""
        return await self._answer(request, caller, Kind.CHAT, requests.ChatRequest)

    async def complete(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """POST /completions."""
        return await self._answer(request, caller, Kind.COMPLETION, requests.CompletionRequest)

    async def embed(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """POST /embeddings."""
        return await self._answer(request, caller, Kind.EMBEDDING, requests.EmbeddingRequest)

    async def _answer(
        self, request: web.Request, caller: Caller, kind: Kind, wanted: type[requests.Inference]
    ) -> web.StreamResponse:
        body = await self.bodies.decode(request, _object)
        return await self.answering.answer(request, caller, wish_in(body, kind, wanted))


def wish_in(body: dict[str, Any], kind: Kind, wanted: type[requests.Inference]) -> Wish:
    """Return what a decoded body wishes for. Raises `Invalid`, naming the field."""
    try:
        told = msgspec.convert(body, wanted)
    except msgspec.ValidationError as error:
        raise invalid(error) from None
    return to_wish(kind, told, body)


def routes(inference: Inference) -> tuple[Route, ...]:
    """Return the rows."""
    rows = (
        ("/chat/completions", inference.chat, "Continue a chat", (requests.ChatRequest, answers.ChatCompletion)),
        ("/completions", inference.complete, "Continue a text", (requests.CompletionRequest, answers.Completion)),
    )
    vectors = (requests.EmbeddingRequest, answers.Embeddings)
    embed = inference_row("/embeddings", inference.embed, "Turn texts into vectors", vectors)
    whole = replace(embed, summary="Turn texts into vectors; with `async` later (202)", also_as=())
    return (*(inference_row(*row) for row in rows), whole)


def inference_row(path: str, handler: Handler, summary: str, bodies: tuple[type[requests.Inference], Any]) -> Route:
    """Return the row of a route that answers in any of the three manners."""
    asked, answered = bodies
    return Route(
        "POST",
        path,
        handler,
        f"{summary}; with `stream` as it comes, with `async` later (202)",
        response=answered,
        request=asked,
        faults=FAULTS,
        scope=WRITE,
        also_as=(EVENT_STREAM,),
        is_made_under_id=True,
        accepted=JobEnvelope,
    )
