"""The running S3 server: does it keep what it is given, and do presigned URLs hold?"""

from __future__ import annotations

import secrets
from typing import Any, Final

import aiohttp
from yarl import URL

from gridloom_kit.objects import open_objects
from gridloom_local.doctor.findings import Finding, judge

_BUCKET: Final = "gridloom-doctor"
_REMEDY: Final = "read the S3 server's log, and check its keys"


async def objects_findings(endpoint: str, access_key: str, secret_key: str) -> list[Finding]:
    """Put, get, presign and delete one small object, and return how that went."""
    key, content = f"check-{secrets.token_hex(4)}", secrets.token_bytes(64)
    async with open_objects(endpoint, access_key, secret_key) as objects:
        await objects.create_bucket(Bucket=_BUCKET)
        await objects.put_object(Bucket=_BUCKET, Key=key, Body=content)
        try:
            return [await _round_trip(objects, key, content), *await _presigned(objects, key, content)]
        finally:
            await objects.delete_object(Bucket=_BUCKET, Key=key)
            await objects.delete_bucket(Bucket=_BUCKET)


async def _round_trip(objects: Any, key: str, content: bytes) -> Finding:
    answer = await objects.get_object(Bucket=_BUCKET, Key=key)
    is_same = await answer["Body"].read() == content
    return judge("S3 put and get", is_same, f"{len(content)} bytes came back the same: {is_same}", _REMEDY)


async def _presigned(objects: Any, key: str, content: bytes) -> list[Finding]:
    url = await objects.generate_presigned_url("get_object", Params={"Bucket": _BUCKET, "Key": key}, ExpiresIn=60)
    async with aiohttp.ClientSession() as session:
        status, body = await _get(session, url)
        forged, _ = await _get(session, url[:-1] + ("0" if url[-1] != "0" else "1"))
    return [
        judge("S3 presigned URL", status == 200 and body == content, f"a signed download answers {status}", _REMEDY),
        judge(
            "S3 forged URL", forged == 403, f"a wrong signature answers {forged}", "use a server that checks signatures"
        ),
    ]


async def _get(session: aiohttp.ClientSession, url: str) -> tuple[int, bytes]:
    async with session.get(URL(url, encoded=True)) as answer:
        return answer.status, await answer.read()
