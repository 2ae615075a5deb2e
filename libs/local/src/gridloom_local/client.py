"""The gateway's HTTP API as the `gridloom` command uses it: JSON in and out, and a job's stream of events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
from yarl import URL

from gridloom_local.problems import NOT_REACHABLE, REFUSED, Problem
from gridloom_local.sse import Event, SseParser

_WITHIN_SECONDS: Final = 60.0
_CONNECT_SECONDS: Final = 5.0
_STREAM_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, connect=5, sock_read=60)
_PER_PAGE: Final = 500
_RECONNECTS: Final = 6
_RECONNECT_SECONDS: Final = 0.2


class Client:
    """One account's, or the administrator's, view of a gateway."""

    def __init__(self, url: str, key: str, session: aiohttp.ClientSession) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"}
        self._session = session

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, str] | None = None,
        *,
        within_seconds: float = _WITHIN_SECONDS,
    ) -> Any:
        """Return the decoded answer of one request. Raises Problem if it is refused or nobody answers."""
        content = await self._send(method, path, within_seconds, json=body, params=query)
        return msgspec.json.decode(content) if content else None

    async def text(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """Return an answer that is no JSON as it came. Raises Problem."""
        return (await self._send("GET", path, _WITHIN_SECONDS, params=query)).decode()

    async def _send(self, method: str, path: str, within_seconds: float, **content: Any) -> bytes:
        try:
            async with self._session.request(
                method,
                self._url + path,
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=within_seconds, connect=_CONNECT_SECONDS),
                **content,
            ) as answer:
                received: bytes = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unreachable(error) from error
        if answer.status >= 400:
            raise refusal(method, path, answer.status, received)
        return received

    async def upload(self, url: str, file: Path) -> int:
        """Store a file at a presigned URL, which is authorization enough; return the status. Raises Problem."""
        timeout = aiohttp.ClientTimeout(total=None, connect=_CONNECT_SECONDS, sock_read=_WITHIN_SECONDS)
        try:
            with file.open("rb") as content:
                async with self._session.put(URL(url, encoded=True), data=content, timeout=timeout) as answer:
                    return answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Problem(f"{file} could not be uploaded: {type(error).__name__}", exit_code=NOT_REACHABLE) from error

    async def every(self, path: str, name: str) -> list[dict[str, Any]]:
        """Return the entries called `name` of every page of a listing of the admin API. Raises Problem."""
        entries: list[dict[str, Any]] = []
        for number in count(1):
            page = await self.call("GET", path, query={"page": str(number), "per_page": str(_PER_PAGE)})
            entries += page[name]
            if number >= page["total_pages"]:
                break
        return entries

    async def follow(self, job: str) -> AsyncIterator[Event]:
        """Yield the events of a job's stream until `done`, reconnecting where the line breaks. Raises Problem."""
        last_id, broken = "", 0
        while broken < _RECONNECTS:
            try:
                async for event in self._stream(job, last_id):
                    last_id, broken = event.id or last_id, 0
                    yield event
                    if event.name == "done":
                        return
            except (aiohttp.ClientError, TimeoutError) as error:
                if broken == _RECONNECTS - 1:
                    raise self._unreachable(error) from error
            await asyncio.sleep(_RECONNECT_SECONDS * 2**broken)
            broken += 1
        raise Problem(f"the stream of job {job} keeps ending before the job", remedy=f"gridloom jobs show {job}")

    async def _stream(self, job: str, last_id: str) -> AsyncIterator[Event]:
        path = f"/api/v1/jobs/{job}/stream"
        headers = self._headers | {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
        async with self._session.get(self._url + path, headers=headers, timeout=_STREAM_TIMEOUT) as answer:
            if answer.status >= 400:
                raise refusal("GET", path, answer.status, await answer.read())
            parser = SseParser()
            async for piece in answer.content.iter_any():
                for event in parser.feed(piece):
                    yield event

    def _unreachable(self, error: BaseException) -> Problem:
        return Problem(
            f"no gateway answers at {self._url}: {str(error) or type(error).__name__}",
            remedy="start one with `gridloom up`, or set GRIDLOOM_URL",
            exit_code=NOT_REACHABLE,
        )


@asynccontextmanager
async def open_client(url: str, key: str) -> AsyncIterator[Client]:
    """Open a client of the gateway at `url`."""
    async with aiohttp.ClientSession() as session:
        yield Client(url, key, session)


def refusal(method: str, path: str, status: int, content: bytes) -> Problem:
    """Return what the gateway said when it refused a request."""
    remedy = {
        401: "check GRIDLOOM_API_KEY and GRIDLOOM_ADMIN_KEY: the gateway does not know this key",
        403: "this key may not do that; administration needs GRIDLOOM_ADMIN_KEY",
        404: "check the id: there is none such, or it belongs to another account",
    }.get(status, "")
    message = f"{method} {path} was refused ({status}): {_reason(content)}"
    return Problem(message, remedy=remedy, exit_code=REFUSED)


def _reason(content: bytes) -> str:
    try:
        body = msgspec.json.decode(content)
    except msgspec.DecodeError:
        return content.decode(errors="replace")[:500] or "no reason given"
    while isinstance(body, dict) and (inner := body.get("message") or body.get("error") or body.get("detail")):
        body = inner
    return body if isinstance(body, str) else msgspec.json.encode(body).decode()
