"""S3, any S3: a client over asyncio. Only the blob service and the doctor hold its keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aioboto3
from botocore.config import Config


@asynccontextmanager
async def open_objects(
    endpoint_url: str, access_key: str, secret_key: str, region: str = "us-east-1"
) -> AsyncIterator[Any]:
    """Yield an S3 client (signature v4, path style, two tries). Raises botocore's errors where a call fails."""
    config = Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"max_attempts": 2})
    session = aioboto3.Session(aws_access_key_id=access_key, aws_secret_access_key=secret_key, region_name=region)
    async with session.client("s3", endpoint_url=endpoint_url, config=config) as client:
        yield client
