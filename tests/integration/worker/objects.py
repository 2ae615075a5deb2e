"""An object store for large tasks and outputs: the real S3, and slots as the scheduler gives them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gridloom_contract.work import AskUpload, UploadSlot
from gridloom_kit.objects import open_objects
from gridloom_testing.servers import S3Server


class ObjectShelf:
    """Signs URLs and looks at what lies there."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    async def store(self, key: str, content: bytes) -> str:
        """Store an object and return a URL that serves it."""
        await self._client.put_object(Bucket=self._bucket, Key=key, Body=content)
        return await self.url_of(key)

    async def url_of(self, key: str) -> str:
        """Return a URL that serves an object."""
        return await self._signed("get_object", Key=key)

    async def slot(self, question: AskUpload) -> UploadSlot:
        """Answer a worker that asks where to put its output."""
        key = f"output-{question.job}-{question.attempt}"
        return UploadSlot(ref=key, url=await self.put_url(key, question.size_bytes))

    async def put_url(self, key: str, size_bytes: int) -> str:
        """Return a URL that stores an object of exactly this size."""
        return await self._signed("put_object", Key=key, ContentLength=size_bytes)

    async def content(self, key: str) -> bytes:
        """Return what lies under a key."""
        answer = await self._client.get_object(Bucket=self._bucket, Key=key)
        async with answer["Body"] as body:
            return bytes(await body.read())

    async def _signed(self, method: str, **place: object) -> str:
        parameters = {"Bucket": self._bucket, **place}
        return str(await self._client.generate_presigned_url(method, Params=parameters, ExpiresIn=900))


@asynccontextmanager
async def open_shelf(s3: S3Server) -> AsyncIterator[ObjectShelf]:
    """Yield the shelf over a real S3."""
    async with open_objects(s3.endpoint_url, s3.access_key, s3.secret_key) as client:
        yield ObjectShelf(client, s3.bucket)
