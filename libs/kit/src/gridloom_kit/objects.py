"""S3, any S3: a client over asyncio. Only the blob service and the doctor hold its keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import aioboto3
from botocore.config import Config


@asynccontextmanager
async def open_objects(
    endpoint_url: str, access_key: str, secret_key: str, region: str = "us-east-1"
) -> AsyncIterator[Any]:
    """Yield an S3 client (signature v4, path style, two tries). Raises botocore's errors where a call fails."""
    config = Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"max_attempts": 2})
    keys = {"aws_access_key_id": access_key, "aws_secret_access_key": secret_key}
    # Without TLS there is no certificate to check, and reading those of all authorities takes longer than a request.
    verify = None if endpoint_url.startswith("https:") else False
    opening = _session().client(
        "s3", endpoint_url=endpoint_url, config=config, region_name=region, verify=verify, **keys
    )
    async with opening as client:
        yield client


@cache
def _session() -> aioboto3.Session:
    """Reading the description of S3 takes thirty times as long as making a client of it."""
    return aioboto3.Session()
