"""What tests of files share: pictures, the three steps from a pending job to its file, and files for batches."""

from __future__ import annotations

from zlib import crc32

import aiohttp
import msgspec
from yarl import URL

from gridloom_testing.clients import Answer, ApiClient
from integration.worker.rude_engine import Behave, answers

BLOBS = "/api/v1/blobs"
FILES = "/v1/files"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 200
JPEG = b"\xff\xd8\xff\xe0" + b"\x00\xff" * 1_000


def sight(content: bytes, content_type: str = "image/png") -> str:
    """Return what the synthetic engine says of an image that it sees."""
    return f"{content_type} of {len(content)} bytes, crc32 {crc32(content):08x}"


def sees_images(model: str) -> Behave:
    """List one model that takes images, as llama.cpp does."""
    entry = {"id": model, "architecture": {"input_modalities": ["text", "image"]}}
    return answers(200, msgspec.json.encode({"data": [entry]}))


async def slot_for(client: ApiClient, job: str, **fields: object) -> Answer:
    """Ask for a slot, whatever comes of it."""
    return await client.call("POST", BLOBS, {"job_id": job} | fields)


async def put(url: str, content: bytes) -> int:
    """Upload to a presigned URL, without any authorization, and return the status."""
    async with aiohttp.ClientSession() as session, session.put(URL(url, encoded=True), data=content) as answer:
        return answer.status


async def confirmation(client: ApiClient, slot: Answer) -> Answer:
    """Say that the upload is done, whatever comes of it."""
    return await client.call("POST", f"{BLOBS}/{slot.body['blob_id']}/confirm")


async def uploaded(client: ApiClient, job: str, content: bytes = PNG) -> Answer:
    """Make a slot and upload into it; return the slot."""
    slot = await slot_for(client, job)
    assert slot.status == 201, slot.body
    assert await put(slot.body["upload_url"], content) == 200
    return slot


async def attached(client: ApiClient, job: str, content: bytes = PNG) -> Answer:
    """Give a job a file in all three steps; return the confirmation."""
    confirmed = await confirmation(client, await uploaded(client, job, content))
    assert confirmed.status == 200, confirmed.body
    return confirmed


async def lines_uploaded(client: ApiClient, *lines: object, key: str = "") -> str:
    """Upload a file of these lines and return its id. `key` is an `Idempotency-Key`."""
    form = aiohttp.MultipartWriter("form-data", boundary="the-same-every-time")
    form.append("batch").set_content_disposition("form-data", name="purpose")
    content = b"\n".join(map(msgspec.json.encode, lines))
    form.append(content).set_content_disposition("form-data", name="file", filename="lines.jsonl")
    headers = {"Idempotency-Key": key} if key else {}
    async with client.session.post(FILES, data=form, headers=headers) as answer:
        body = await answer.json()
        assert answer.status == 200, body
    return str(body["id"])
