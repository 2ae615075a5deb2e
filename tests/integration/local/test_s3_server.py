"""The embedded S3 server: it stores, and it refuses a wrong signature."""

from __future__ import annotations

import aiohttp
import pytest
from botocore.exceptions import ClientError
from yarl import URL

from gridloom_kit.objects import open_objects
from gridloom_local import servers


async def test_what_is_put_can_be_got(s3):
    async with open_objects(s3.endpoint_url, s3.access_key, s3.secret_key) as objects:
        await objects.put_object(Bucket=s3.bucket, Key="a/b", Body=b"content")
        answer = await objects.get_object(Bucket=s3.bucket, Key="a/b")
        assert await answer["Body"].read() == b"content"


async def test_a_wrong_key_is_refused(s3):
    async with open_objects(s3.endpoint_url, s3.access_key, "guessed-secret") as objects:
        with pytest.raises(ClientError):
            await objects.put_object(Bucket=s3.bucket, Key="stolen", Body=b"content")


async def test_a_presigned_address_works_once_signed_and_not_when_changed(s3):
    async with open_objects(s3.endpoint_url, s3.access_key, s3.secret_key) as objects:
        place = {"Bucket": s3.bucket, "Key": "presigned"}
        address = await objects.generate_presigned_url("put_object", Params=place, ExpiresIn=60)
    assert await put(address) == 200
    assert await put(address.replace("presigned", "another")) == 403


def test_the_keys_are_not_in_the_command_line(s3, secrets, tmp_path):
    server = servers.s3_server(tmp_path, servers.free_port(), secrets.s3_access_key, secrets.s3_secret_key)
    assert not any(secrets.s3_secret_key in word for word in server.argv)


async def put(address):
    async with (
        aiohttp.ClientSession() as session,
        session.put(URL(address, encoded=True), data=b"content") as answer,
    ):
        return answer.status
