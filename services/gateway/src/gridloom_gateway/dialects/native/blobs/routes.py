"""The routes about files of jobs: decode, translate, ask the blob service, translate, encode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiohttp import web
from msgspec.json import Decoder

from gridloom_contract.fault import FaultCode
from gridloom_gateway import replies
from gridloom_gateway.blobs import Files
from gridloom_gateway.dialects.native.blobs import translate, wire
from gridloom_gateway.dialects.native.translate import to_job_id
from gridloom_gateway.people import WRITE, Caller
from gridloom_gateway.reading import BodyReader
from gridloom_gateway.route import Route

_SLOT: Final = (
    FaultCode.INVALID,
    FaultCode.NOT_FOUND,
    FaultCode.CONFLICT,
    FaultCode.TOO_LARGE,
    FaultCode.UNSUPPORTED_MEDIA,
    FaultCode.REQUEST_TIMEOUT,
)
_CONFIRM: Final = (FaultCode.NOT_FOUND, FaultCode.CONFLICT, FaultCode.TOO_LARGE, FaultCode.UNSUPPORTED_MEDIA)

_create = Decoder(wire.CreateBlob)


@dataclass(frozen=True)
class Blobs:
    """The handlers."""

    files: Files
    bodies: BodyReader

    async def create(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """POST /blobs."""
        body = await self.bodies.decode(request, _create)
        blob_type = body.blob_type or translate.DEFAULT_TYPE
        slot = await self.files.create(caller.account, to_job_id(body.job_id), blob_type)
        return replies.json(translate.from_slot(slot), 201)

    async def confirm(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """POST /blobs/{blob}/confirm."""
        blob = translate.to_blob_id(request.match_info["blob"])
        return replies.json(translate.from_confirmed(await self.files.confirm(caller.account, blob)))


def routes(blobs: Blobs) -> tuple[Route, ...]:
    """Return the routes, below the native API's mounts."""
    return (
        Route(
            "POST",
            "/blobs",
            blobs.create,
            "Get an upload URL for a file of a pending job, which waits for it",
            response=wire.Slot,
            status=201,
            request=wire.CreateBlob,
            faults=_SLOT,
            scope=WRITE,
            gives=(("blob", "blob_id"),),
        ),
        Route(
            "POST",
            "/blobs/{blob}/confirm",
            blobs.confirm,
            "Attach an uploaded file to its job",
            response=wire.Confirmed,
            faults=_CONFIRM,
            scope=WRITE,
        ),
    )
