"""The routes of models."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from gridloom_contract.fault import FaultCode
from gridloom_gateway import replies
from gridloom_gateway.desk import Desk
from gridloom_gateway.dialects.openai.translate import models as translate
from gridloom_gateway.dialects.openai.wire import models as wire
from gridloom_gateway.people import READ, Caller
from gridloom_gateway.route import Route


@dataclass(frozen=True)
class Models:
    """The handlers."""

    desk: Desk

    async def list(self, _request: web.Request, caller: Caller) -> web.StreamResponse:
        """GET /models."""
        return replies.json(translate.from_models(await self.desk.models(caller.account, online_only=True)))

    async def get(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """GET /models/{id}, where the id may have slashes, written as they are or as `%2F`."""
        name = request.match_info["id"].rstrip("/")
        models = await self.desk.models(caller.account, online_only=True)
        return replies.json(translate.from_model(translate.named(models, name)))


def routes(models: Models) -> tuple[Route, ...]:
    """Return the rows."""
    return (
        Route("GET", "/models", models.list, "List the models online now", response=wire.ModelList, scope=READ),
        Route(
            "GET",
            "/models/{id:.+}",
            models.get,
            "Get a model that is online",
            response=wire.Model,
            faults=(FaultCode.NOT_FOUND,),
            scope=READ,
        ),
    )
