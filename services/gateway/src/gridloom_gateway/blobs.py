"""Files of jobs as the gateway has to do with them: the blob service makes their slots and looks at their uploads."""

from __future__ import annotations

from gridloom_contract.blobs import BlobConfirmed, BlobSlot, ConfirmBlob, CreateBlob
from gridloom_contract.registry import CONFIRM_BLOB, CREATE_BLOB
from gridloom_domain.errors import NotFound
from gridloom_kit.bus import Bus

_SLOT_SECONDS = 15.0
_CONFIRM_SECONDS = 30.0
"""The upload is looked at and copied meanwhile, in several calls to S3."""


def no_such_blob() -> NotFound:
    """Return the one error for a blob that is unknown, another account's, or named in a form that is no id."""
    return NotFound("there is no such blob")


class Files:
    """What an account asks of the blob service; blobs and jobs of another one do not exist."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def create(self, account: str, job: str, blob_type: str) -> BlobSlot:
        """Hold the job and return where to upload.

        Raises `NotFound` (job), `Conflict` (it does not wait any more, or has too many files), `RateLimited` (the
        account keeps too much), or `Unavailable`.
        """
        order = CreateBlob(account=account, job=job, blob_type=blob_type)
        slot: BlobSlot = await self._bus.request(CREATE_BLOB, order, timeout_seconds=_SLOT_SECONDS)
        return slot

    async def confirm(self, account: str, blob: str) -> BlobConfirmed:
        """Return what was uploaded once its job has it.

        Raises `NotFound`, `Conflict` (nothing uploaded, or too late), `TooLarge`, `UnsupportedMedia` or `Unavailable`.
        """
        order = ConfirmBlob(account=account, blob=blob)
        confirmed: BlobConfirmed = await self._bus.request(CONFIRM_BLOB, order, timeout_seconds=_CONFIRM_SECONDS)
        return confirmed
