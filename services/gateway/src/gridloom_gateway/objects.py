"""Tasks and outputs that are too large for the bus: stored and read in the object store, in pieces."""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from gridloom_contract.blobs import ObjectReserved, ObjectsPresigned, PresignObjects, Purpose, ReserveObject
from gridloom_contract.fault import FaultCode, FaultError
from gridloom_contract.registry import PRESIGN_OBJECTS, RESERVE_OBJECT
from gridloom_domain.errors import Unavailable
from gridloom_kit.bus import Bus
from gridloom_kit.log import get_logger
from gridloom_kit.transfer import Content, Transfer

log = get_logger()

_MOST_BYTES: Final = 1024 * 1024 * 1024
_PUT_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 20.0
"""The first question for an upload has it checked and copied."""
_RETRY_AFTER_SECONDS: Final = 5.0
_PASSED_ON: Final = frozenset({FaultCode.TOO_LARGE, FaultCode.RATE_LIMITED})
"""What a client can do something about. All else means that large things cannot be had now."""


@dataclass(frozen=True)
class Owner:
    """Whose object it is."""

    account: str
    job: str


class Objects:
    """The object store, as the blob service lets us use it."""

    def __init__(self, bus: Bus, transfer: Transfer) -> None:
        self._bus = bus
        self._transfer = transfer

    async def store(self, owner: Owner, purpose: Purpose, content: Content) -> str:
        """Return the ref of the content once it is there and cannot be changed any more.

        Raises `TooLarge`, `RateLimited` (the account keeps too much), or `Unavailable`.
        """
        order = ReserveObject(account=owner.account, job=owner.job, purpose=purpose, size_bytes=content.size_bytes)
        try:
            reserved: ObjectReserved = await self._bus.request(RESERVE_OBJECT, order)
            await self._transfer.put(reserved.upload_url, content, _PUT_SECONDS)
            await self._url_of(reserved.ref)
        except FaultError as error:
            raise _told(error, "what is larger than 256 KiB cannot be taken at the moment") from None
        return reserved.ref

    @asynccontextmanager
    async def reading(self, ref: str) -> AsyncIterator[AsyncIterator[str]]:
        """Yield the pieces of a text. Entering raises `Unavailable` if it cannot be had now, and reading on may too."""
        async with AsyncExitStack() as stack:
            try:
                url = await self._url_of(ref)
                pieces = await stack.enter_async_context(self._transfer.reading(url, _MOST_BYTES))
            except FaultError as error:
                raise _told(error, "what is larger than 256 KiB cannot be read at the moment") from None
            yield _texts(pieces)

    async def _url_of(self, ref: str) -> str:
        question = PresignObjects(refs=(ref,))
        answer: ObjectsPresigned = await self._bus.request(PRESIGN_OBJECTS, question, timeout_seconds=_LOOK_SECONDS)
        url = answer.objects[0].url
        if url is None:
            raise Unavailable("the object is not there")
        return url


async def _texts(pieces: AsyncIterator[bytes]) -> AsyncIterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    async for piece in pieces:
        yield decoder.decode(piece)
    yield decoder.decode(b"", final=True)


def _told(error: FaultError, message: str) -> FaultError:
    if error.fault.code in _PASSED_ON:
        return error
    log.warning("object.unavailable", code=str(error.fault.code), err=error.fault.message)
    return Unavailable(message, retry_after_seconds=_RETRY_AFTER_SECONDS)
