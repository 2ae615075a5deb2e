"""Between the native API's words about files and the core's. Pure."""

from __future__ import annotations

from typing import Final

from gridloom_contract import blobs
from gridloom_domain import ids
from gridloom_gateway.blobs import no_such_blob
from gridloom_gateway.dialects.native.blobs import wire

DEFAULT_TYPE: Final = "image"


def to_blob_id(text: str) -> str:
    """Return the core's id. Raises the same `NotFound` as for a blob that does not exist."""
    try:
        return ids.from_uuid(text)
    except ValueError:
        raise no_such_blob() from None


def from_slot(slot: blobs.BlobSlot) -> wire.Slot:
    """Return the answer to a request for a slot."""
    return wire.Slot(blob_id=ids.as_uuid(slot.blob), upload_url=slot.upload_url, expires_in=slot.expires_in_seconds)


def from_confirmed(confirmed: blobs.BlobConfirmed) -> wire.Confirmed:
    """Return the answer to a confirmation."""
    return wire.Confirmed(
        blob_id=ids.as_uuid(confirmed.blob), content_type=confirmed.content_type, size_bytes=confirmed.size_bytes
    )
