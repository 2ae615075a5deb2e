"""The routes of files: they pass through, and are kept by the blob service."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
from aiohttp import hdrs, web

from gridloom_contract.fault import FaultCode
from gridloom_gateway import replies
from gridloom_gateway.desk import Desk
from gridloom_gateway.dialects.openai.translate import files as translate
from gridloom_gateway.dialects.openai.wire import files as wire
from gridloom_gateway.library import Library, NewFile
from gridloom_gateway.people import READ, WRITE, Caller
from gridloom_gateway.reading import BodyReader, invalid, query
from gridloom_gateway.route import FORM, Route
from gridloom_gateway.supplies import Terms
from gridloom_gateway.uploads import FormReader

_FIELDS: Final = frozenset(field.encode_name for field in msgspec.structs.fields(wire.Upload))
_ONE: Final = (FaultCode.NOT_FOUND,)
_UPLOAD: Final = (
    *(FaultCode.INVALID, FaultCode.TOO_LARGE, FaultCode.UNSUPPORTED_MEDIA, FaultCode.REQUEST_TIMEOUT),
    FaultCode.CONFLICT,
)


@dataclass(frozen=True)
class FileRoutes:
    """The handlers."""

    desk: Desk
    library: Library
    bodies: BodyReader
    terms: Terms

    async def create(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """POST /files."""
        with TemporaryDirectory(prefix="gridloom-upload-") as folder:
            reader = FormReader(Path(folder), self.library.max_file_bytes, self.terms.body_seconds)
            known = await self.bodies.read(request) if caller.new_id is not None else None
            form = await reader.read(request, _FIELDS, known)
            told = _told(form.fields)
            wanted = NewFile(
                file=self.desk.mint(caller),
                account=caller.account,
                name=form.file_name or "",
                label=told.purpose,
                keep_seconds=told.seconds or translate.KEEP_SECONDS,
            )
            return replies.json(translate.from_entry(await self.library.store(wanted, form.path)))

    async def list(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """GET /files."""
        wanted = query(request, wire.ListQuery)
        return replies.json(translate.from_page(await self.library.list(translate.to_listing(wanted, caller.account))))

    async def get(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """GET /files/{id}."""
        return replies.json(translate.from_entry(await self.library.get(caller.account, _file_in(request))))

    async def content(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """GET /files/{id}/content."""
        entry = await self.library.get(caller.account, _file_in(request))
        headers: dict[str, str] = {hdrs.CONTENT_TYPE: wire.OCTETS, hdrs.CONTENT_LENGTH: str(entry.size_bytes)}
        async with self.library.reading(entry) as pieces:
            return await replies.stream(request, pieces, self.terms.stall_seconds, headers)

    async def delete(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """DELETE /files/{id}."""
        await self.library.delete(caller.account, _file_in(request))
        return replies.json(wire.FileDeleted(id=request.match_info["id"]))


def routes(files: FileRoutes) -> tuple[Route, ...]:
    """Return the rows."""
    path, document = "/files/{id}", wire.FileDocument
    return (
        Route(
            "POST",
            "/files",
            files.create,
            "Upload a file",
            response=document,
            request=wire.UploadForm,
            takes=FORM,
            faults=_UPLOAD,
            scope=WRITE,
            is_made_under_id=True,
        ),
        Route(
            "GET",
            "/files",
            files.list,
            "List files",
            response=wire.FileList,
            query=wire.ListQuery,
            faults=(FaultCode.INVALID, FaultCode.NOT_FOUND),
            scope=READ,
        ),
        Route("GET", path, files.get, "Get a file", response=document, faults=_ONE, scope=READ),
        Route(
            "GET",
            f"{path}/content",
            files.content,
            "Download a file",
            response=str,
            faults=_ONE,
            scope=READ,
            media=wire.OCTETS,
        ),
        Route("DELETE", path, files.delete, "Delete a file", response=wire.FileDeleted, faults=_ONE, scope=WRITE),
    )


def _told(fields: dict[str, str]) -> wire.Upload:
    try:
        return msgspec.convert(fields, wire.Upload, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(error) from None


def _file_in(request: web.Request) -> str:
    return translate.to_file_id(request.match_info["id"])
