"""A job with files, as `gridloom jobs submit --image` makes it: it waits for them, and is canceled without them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

from gridloom_domain.images import SNIFFED_BYTES, image_type
from gridloom_local.client import Client
from gridloom_local.problems import REFUSED, Problem


async def submit_with_files(client: Client, body: dict[str, Any], files: Sequence[Path]) -> dict[str, Any]:
    """Submit a job and give it its files; return what its submission was answered. Raises Problem."""
    for file in files:
        _check(file)
    accepted: dict[str, Any] = await client.call("POST", "/api/v1/jobs", body | {"expect_blobs": len(files)})
    try:
        for file in files:
            await _attach(client, accepted["job_id"], file)
    except BaseException:
        # Sooner or later it would run without them.
        with suppress(Problem):
            await client.call("DELETE", f"/api/v1/jobs/{accepted['job_id']}")
        raise
    return accepted


def _check(file: Path) -> None:
    """What is no image is known before anything is submitted; how large one may be, the grid says."""
    try:
        with file.open("rb") as opened:
            beginning = opened.read(SNIFFED_BYTES)
    except OSError as error:
        raise Problem(f"{file} cannot be read: {error.strerror}") from error
    if image_type(beginning) is None:
        raise Problem(f"{file} is no image", remedy="PNG, JPEG, GIF and WebP are")


async def _attach(client: Client, job: str, file: Path) -> None:
    slot = await client.call("POST", "/api/v1/blobs", {"job_id": job, "blob_type": "image"})
    status = await client.upload(slot["upload_url"], file)
    if status != HTTPStatus.OK:
        raise Problem(f"the upload of {file} was refused ({status})", exit_code=REFUSED)
    await client.call("POST", f"/api/v1/blobs/{slot['blob_id']}/confirm")
