"""S3 as this service needs it. Everything that is not an answer about the object is `Unavailable`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from gridloom_blob import metrics
from gridloom_domain.errors import Unavailable
from gridloom_kit.clock import Clock
from gridloom_kit.log import get_logger, redact
from gridloom_kit.objects import open_objects

log = get_logger()

_PROBE_SECONDS = 2.0
_PROBE_HOLDS_SECONDS = 1.0
_RETRY_SECONDS = 5.0
_MOST_SECONDS = 604_800
"""A presigned URL lives a week at most (AWS Signature Version 4)."""
_ABSENT = frozenset({"404", "NoSuchKey", "NotFound", "InvalidRange", "416"})
_MISSING_BUCKET = "NoSuchBucket"


class AbsentError(Exception):
    """There is no such object."""


@dataclass(frozen=True)
class BucketSettings:
    """Where the bucket is. `public_url` is the same S3 as clients and workers reach it."""

    endpoint_url: str
    access_key: str
    secret_key: str
    region: str
    bucket: str
    public_url: str
    timeout_seconds: float


class Bucket:
    """One bucket. Every call raises `Unavailable` while S3 does not answer, or refuses us."""

    def __init__(self, client: Any, signer: Any, name: str, timeout_seconds: float, clock: Clock) -> None:
        self._client = client
        self._signer = signer
        self._name = name
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._seen_at = float("-inf")

    async def probe(self) -> None:
        """Raise unless the bucket is there and ours."""
        with _asking("probe"):
            async with asyncio.timeout(min(_PROBE_SECONDS, self._timeout_seconds)):
                await self._client.head_bucket(Bucket=self._name)
        self._seen_at = self._clock.monotonic()

    async def ensure_reachable(self) -> None:
        """Probe, unless that went well a moment ago: nobody is to be sent to an S3 that is down."""
        if self._clock.monotonic() - self._seen_at > _PROBE_HOLDS_SECONDS:
            await self.probe()

    async def size_of(self, key: str) -> int | None:
        """Return the size of an object in bytes; None if there is none."""
        try:
            with _asking("head"):
                async with asyncio.timeout(self._timeout_seconds):
                    answer = await self._client.head_object(Bucket=self._name, Key=key)
        except AbsentError:
            return None
        return int(answer["ContentLength"])

    async def beginning_of(self, key: str, length_bytes: int) -> bytes:
        """Return the first bytes of an object, fewer if it is shorter; none if there is none."""
        try:
            with _asking("get"):
                async with asyncio.timeout(self._timeout_seconds):
                    return await self._range(key, length_bytes)
        except AbsentError:
            return b""

    async def _range(self, key: str, length_bytes: int) -> bytes:
        answer = await self._client.get_object(Bucket=self._name, Key=key, Range=f"bytes=0-{length_bytes - 1}")
        body, found = answer["Body"], b""
        async with body:
            # Never read on once all is there: the end would be compared with the checksum of the whole object.
            while len(found) < length_bytes and (piece := await body.read(length_bytes - len(found))):
                found += piece
        return found

    async def copy(self, source: str, target: str, content_type: str) -> bool:
        """Copy an object within S3. False if there is none."""
        try:
            with _asking("copy"):
                async with asyncio.timeout(self._timeout_seconds):
                    await self._client.copy_object(
                        Bucket=self._name,
                        Key=target,
                        CopySource={"Bucket": self._name, "Key": source},
                        MetadataDirective="REPLACE",  # what the uploader says of it is not to be believed
                        ContentType=content_type,
                    )
        except AbsentError:
            return False
        return True

    async def delete(self, keys: Iterable[str]) -> None:
        """Delete objects. One that is not there counts as deleted."""
        for key in keys:
            with _asking("delete"):
                async with asyncio.timeout(self._timeout_seconds):
                    await self._client.delete_object(Bucket=self._name, Key=key)

    async def put_url(self, key: str, seconds: int, size_bytes: int | None = None) -> str:
        """Return a URL that stores an object, of exactly `size_bytes` if given. Asks nobody."""
        length = {} if size_bytes is None else {"ContentLength": size_bytes}
        return await self._signed("put_object", "put", seconds, {"Key": key, **length})

    async def get_url(self, key: str, seconds: int, content_type: str) -> str:
        """Return a URL that serves an object, as a download of this type whatever its uploader said. Asks nobody."""
        shown = {"ResponseContentType": content_type, "ResponseContentDisposition": "attachment"}
        return await self._signed("get_object", "get", seconds, {"Key": key, **shown})

    async def _signed(self, method: str, op: str, seconds: int, place: dict[str, Any]) -> str:
        lasting = min(max(seconds, 1), _MOST_SECONDS)
        parameters = {"Bucket": self._name, **place}
        metrics.presigned.labels(op).inc()
        return str(await self._signer.generate_presigned_url(method, Params=parameters, ExpiresIn=lasting))


@asynccontextmanager
async def open_bucket(settings: BucketSettings, clock: Clock) -> AsyncIterator[Bucket]:
    """Yield the bucket. Connects on first use, so S3 may be down."""
    keys = (settings.access_key, settings.secret_key, settings.region)
    async with (
        open_objects(settings.endpoint_url, *keys) as client,
        open_objects(settings.public_url or settings.endpoint_url, *keys) as signer,
    ):
        yield Bucket(client, signer, settings.bucket, settings.timeout_seconds, clock)


@contextmanager
def _asking(op: str) -> Iterator[None]:
    """Time a call; turn its errors into `AbsentError` and `Unavailable`."""
    code = "canceled"
    with metrics.s3_request_seconds.time() as timer:
        try:
            yield
            code = "200"
        except ClientError as error:
            code = _code_of(error)
            if code in _ABSENT and op != "probe":
                raise AbsentError from error
            raise _unavailable(op, code, error) from error
        except (BotoCoreError, OSError, TimeoutError) as error:
            code = type(error).__name__
            raise _unavailable(op, code, error) from error
        finally:
            timer.labels(op, code)


def _code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))


def _unavailable(op: str, code: str, error: Exception) -> Unavailable:
    log.warning("s3.failed", op=op, code=code, err=redact(str(error)))
    if code == _MISSING_BUCKET or (op == "probe" and code in _ABSENT):
        return Unavailable("the object store has no such bucket", retry_after_seconds=_RETRY_SECONDS)
    return Unavailable("the object store does not answer", retry_after_seconds=_RETRY_SECONDS)
