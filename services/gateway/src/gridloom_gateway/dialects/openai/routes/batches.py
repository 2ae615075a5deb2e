"""The routes of batches: OpenAI's, which come as a file, and inference.club's, which come as requests, on one path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec.json import Decoder

from gridloom_contract.batches import Batch
from gridloom_contract.fault import FaultCode
from gridloom_domain.errors import Invalid
from gridloom_gateway import replies
from gridloom_gateway.batches import Batches
from gridloom_gateway.desk import Desk
from gridloom_gateway.dialects.openai.translate import batches as translate
from gridloom_gateway.dialects.openai.wire import batches as wire
from gridloom_gateway.library import Library
from gridloom_gateway.people import READ, WRITE, Caller
from gridloom_gateway.reading import BodyReader, invalid, query
from gridloom_gateway.route import Route
from gridloom_kit.clock import Clock

_ONE: Final = (FaultCode.NOT_FOUND,)
_CREATE: Final = (
    *(FaultCode.INVALID, FaultCode.UNKNOWN_MODEL, FaultCode.NOT_FOUND, FaultCode.CONFLICT, FaultCode.TOO_LARGE),
    *(FaultCode.UNSUPPORTED_MEDIA, FaultCode.REQUEST_TIMEOUT),
)
_object = Decoder(dict[str, Any])


@dataclass(frozen=True)
class BatchRoutes:
    """The handlers."""

    desk: Desk
    batches: Batches
    library: Library
    bodies: BodyReader
    clock: Clock

    async def create(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """POST /batches: what it has says which of both it is."""
        body = await self.bodies.decode(request, _object)
        for field, creator in CREATORS.items():
            if field in body:
                return await creator(self, body, caller)
        raise Invalid("a batch has an input_file_id, or requests", "input_file_id")

    async def from_file(self, body: dict[str, Any], caller: Caller) -> web.StreamResponse:
        """Record a batch that the clerk will read."""
        wanted = _converted(body, wire.FromFile)
        order = translate.to_file_order(wanted, caller, self.desk.mint(caller), self.clock.now())
        file = await self.library.get(caller.account, order.input_file or "")
        return replies.json(translate.from_batch(await self.batches.create(translate.with_file(order, file))))

    async def from_requests(self, body: dict[str, Any], caller: Caller) -> web.StreamResponse:
        """Take all jobs in, or none."""
        wanted, batch = _converted(body, wire.FromRequests), self.desk.mint(caller)
        submissions = translate.to_submissions(wanted, caller, batch)
        known = await self.desk.models(caller.account, online_only=False)
        translate.check_models(submissions, frozenset(model.model for model in known))
        order = translate.to_order(wanted, caller, batch)
        taken = await self.batches.take_in(order, submissions, is_kept=caller.new_id is not None)
        return replies.json(translate.from_batch(taken), 202)

    async def list(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """GET /batches."""
        wanted = translate.to_listing(query(request, wire.ListQuery), caller.account)
        return replies.json(translate.from_page(await self.batches.list(wanted)))

    async def get(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """GET /batches/{id}."""
        return replies.json(await self._shown(await self.batches.get(caller.account, _batch_in(request))))

    async def cancel(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """POST /batches/{id}/cancel."""
        return replies.json(await self._shown(await self.batches.cancel(caller.account, _batch_in(request))))

    async def _shown(self, batch: Batch) -> wire.FileBatch | wire.RequestBatch:
        if batch.input_file is not None:
            return translate.from_batch(batch)
        page = await self.desk.list(translate.to_jobs_of(batch))
        return translate.from_batch(batch, page.jobs)


CREATORS: Final[dict[str, Callable[[BatchRoutes, dict[str, Any], Caller], Awaitable[web.StreamResponse]]]] = {
    "input_file_id": BatchRoutes.from_file,
    "requests": BatchRoutes.from_requests,
}


def routes(batches: BatchRoutes) -> tuple[Route, ...]:
    """Return the rows."""
    one, shown = "/batches/{id}", wire.FileBatch | wire.RequestBatch
    return (
        Route(
            "POST",
            "/batches",
            batches.create,
            "Make a batch of the lines of a file, or of requests (202)",
            response=wire.FileBatch,
            accepted=wire.RequestBatch,
            request=wire.CreateBatch,
            faults=_CREATE,
            scope=WRITE,
            is_made_under_id=True,
        ),
        Route(
            "GET",
            "/batches",
            batches.list,
            "List batches, newest first",
            response=wire.BatchList,
            query=wire.ListQuery,
            faults=(FaultCode.INVALID, FaultCode.NOT_FOUND),
            scope=READ,
        ),
        Route("GET", one, batches.get, "Get a batch", response=shown, faults=_ONE, scope=READ),
        Route(
            "POST",
            f"{one}/cancel",
            batches.cancel,
            "Cancel a batch and its jobs; one that has ended stays as it is",
            response=shown,
            faults=_ONE,
            scope=WRITE,
        ),
    )


def _converted(body: dict[str, Any], wanted: type[Any]) -> Any:
    try:
        return msgspec.convert(body, wanted)
    except msgspec.ValidationError as error:
        raise invalid(error) from None


def _batch_in(request: web.Request) -> str:
    return translate.to_batch_id(request.match_info["id"])
