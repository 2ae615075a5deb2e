"""What a store raises when MongoDB cannot be reached or refuses: the write may or may not have happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo.errors import BulkWriteError, PyMongoError

StoreError = PyMongoError

_DUPLICATE = 11000


def duplicates(error: BulkWriteError) -> list[int]:
    """Return which operations of a bulk write met a document that was there already; raises any other trouble on."""
    details: Mapping[str, Any] = error.details or {}
    errors: Sequence[Mapping[str, Any]] = details.get("writeErrors", ())
    if details.get("writeConcernErrors") or any(each["code"] != _DUPLICATE for each in errors):
        raise error
    return [each["index"] for each in errors]
