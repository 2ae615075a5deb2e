"""Examples of objects, for all tests of the blob service's rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from gridloom_blob.record import Blob
from gridloom_blob.rules import Terms
from gridloom_contract.blobs import Purpose
from gridloom_testing.builders import a_job_id

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
TERMS = Terms(
    orphan=timedelta(hours=1), late_upload=timedelta(hours=1), settle=timedelta(minutes=2), recheck=timedelta(days=7)
)


def a_blob(**changes: Any) -> Blob:
    """A slot for an image, made at noon."""
    usual: dict[str, Any] = {
        "id": a_job_id(),
        "account": "acc1",
        "job": a_job_id(),
        "purpose": Purpose.IMAGE,
        "upload_key": "acc1/job/one",
        "keys": ("acc1/job/one",),
        "size_bytes": 1_000,
        "created_at": NOON,
        "upload_until": NOON + timedelta(minutes=15),
        "check_at": NOON + timedelta(minutes=17),
    }
    return Blob(**(usual | changes))
