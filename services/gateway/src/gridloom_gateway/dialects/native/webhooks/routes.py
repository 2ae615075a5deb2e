"""The routes about webhooks: decode, translate, ask the webhook service, translate, encode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiohttp import web
from msgspec.json import Decoder

from gridloom_contract.fault import FaultCode
from gridloom_gateway import replies
from gridloom_gateway.dialects.native.webhooks import translate, wire
from gridloom_gateway.door import key_of
from gridloom_gateway.people import READ, WRITE, Caller
from gridloom_gateway.reading import BodyReader, query
from gridloom_gateway.route import Route
from gridloom_gateway.webhooks import Deliveries

_BODY: Final = (FaultCode.INVALID, FaultCode.TOO_LARGE, FaultCode.UNSUPPORTED_MEDIA, FaultCode.REQUEST_TIMEOUT)

_replay = Decoder(wire.Replay)
_verify = Decoder(wire.Verify)


@dataclass(frozen=True)
class Webhooks:
    """The handlers."""

    deliveries: Deliveries
    bodies: BodyReader

    async def list(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """GET /webhooks/deliveries."""
        wanted = query(request, wire.DeliveryQuery)
        page = await self.deliveries.page(translate.to_listing(wanted, caller.account))
        return replies.json(translate.from_page(page, wanted))

    async def get(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """GET /webhooks/deliveries/{delivery}."""
        delivery = await self.deliveries.one(caller.account, _delivery_in(request))
        return replies.json(translate.from_delivery(delivery))

    async def replay_one(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """POST /webhooks/deliveries/{delivery}/replay."""
        count = await self.deliveries.replay_one(caller.account, _delivery_in(request))
        return replies.json(wire.Replayed(replayed=count))

    async def replay(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """POST /webhooks/deliveries/replay."""
        body = await self.bodies.decode(request, _replay)
        count = await self.deliveries.replay(translate.to_replay(body, caller.account))
        return replies.json(wire.Replayed(replayed=count))

    async def secret(self, _request: web.Request, caller: Caller) -> web.StreamResponse:
        """GET /webhooks/secret."""
        return replies.json(wire.Secret(key=await self.deliveries.secret(caller.account, rotate=False)))

    async def rotate(self, _request: web.Request, caller: Caller) -> web.StreamResponse:
        """POST /webhooks/secret/rotate."""
        await self.deliveries.secret(caller.account, rotate=True)
        return replies.json(wire.Replaced())

    async def verify(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """POST /webhooks/verify-example."""
        body = await self.bodies.decode(request, _verify)
        question = translate.to_verification(body, caller.account, key_of(request))
        return replies.json(translate.from_verification(await self.deliveries.verify(question)))


def routes(webhooks: Webhooks) -> tuple[Route, ...]:
    """Return the routes, below the native API's mounts."""
    return (*_deliveries(webhooks), *_replays(webhooks), *_signing(webhooks))


def _delivery_in(request: web.Request) -> str:
    return translate.to_delivery_id(request.match_info["delivery"])


def _deliveries(webhooks: Webhooks) -> tuple[Route, ...]:
    return (
        Route(
            "GET",
            "/webhooks/deliveries",
            webhooks.list,
            "List webhook deliveries, newest first",
            response=wire.DeliveryList,
            query=wire.DeliveryQuery,
            faults=(FaultCode.INVALID,),
            scope=READ,
            gives=(("delivery", "deliveries/0/id"),),
        ),
        Route(
            "GET",
            "/webhooks/deliveries/{delivery}",
            webhooks.get,
            "Get a webhook delivery with its attempts",
            response=wire.Delivery,
            faults=(FaultCode.NOT_FOUND,),
            scope=READ,
        ),
    )


def _replays(webhooks: Webhooks) -> tuple[Route, ...]:
    return (
        Route(
            "POST",
            "/webhooks/deliveries/replay",
            webhooks.replay,
            "Deliver some again, or all of a range of time",
            response=wire.Replayed,
            request=wire.Replay,
            faults=_BODY,
            scope=WRITE,
        ),
        Route(
            "POST",
            "/webhooks/deliveries/{delivery}/replay",
            webhooks.replay_one,
            "Deliver one again, with the same id and the same bytes",
            response=wire.Replayed,
            faults=(FaultCode.NOT_FOUND, FaultCode.CONFLICT),
            scope=WRITE,
        ),
    )


def _signing(webhooks: Webhooks) -> tuple[Route, ...]:
    return (
        Route(
            "GET",
            "/webhooks/secret",
            webhooks.secret,
            "Get the secret that signs the account's webhooks",
            response=wire.Secret,
            scope=WRITE,
        ),
        Route(
            "POST",
            "/webhooks/secret/rotate",
            webhooks.rotate,
            "Replace the secret; the old one signs for a day more",
            response=wire.Replaced,
            scope=WRITE,
        ),
        Route(
            "POST",
            "/webhooks/verify-example",
            webhooks.verify,
            "Tell whether a receiver should believe a request, and why not",
            response=wire.Verified,
            request=wire.Verify,
            faults=_BODY,
            scope=WRITE,
        ),
    )
