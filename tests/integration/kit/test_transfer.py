"""Bytes to and from a real S3 by presigned URLs, and what becomes of a transfer when that does not work."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from gridloom_contract.fault import FaultCode, FaultError
from gridloom_kit.objects import open_objects
from gridloom_kit.transfer import Transfer, content_of, content_of_file, open_transfer
from gridloom_local.servers import LOOPBACK, free_port
from gridloom_testing.servers import S3Server

Sign = Callable[..., Awaitable[str]]

LARGE = secrets.token_bytes(3 * 1024 * 1024 + 17)
KEY = "some/key"
PLENTY = 16 * 1024 * 1024


@pytest.fixture
async def sign(s3: S3Server) -> AsyncIterator[Sign]:
    async with open_objects(s3.endpoint_url, s3.access_key, s3.secret_key) as client:

        async def url_for(method: str, seconds: int = 60, **place: object) -> str:
            parameters = {"Bucket": s3.bucket, "Key": KEY, **place}
            return str(await client.generate_presigned_url(method, Params=parameters, ExpiresIn=seconds))

        yield url_for


@pytest.fixture
async def transfer() -> AsyncIterator[Transfer]:
    async with open_transfer() as transfer:
        yield transfer


async def test_bytes_and_files_are_stored_and_read_as_they_are(sign: Sign, transfer: Transfer, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(LARGE[::-1])
    url = await sign("put_object", ContentLength=len(LARGE))
    found = []

    for content in (content_of(LARGE), content_of_file(tmp_path / "file")):
        await transfer.put(url, content, 10)
        found.append(await transfer.get(await sign("get_object"), PLENTY, 10))

    assert found == [LARGE, LARGE[::-1]]


async def test_an_object_comes_in_pieces(sign: Sign, transfer: Transfer) -> None:
    await transfer.put(await sign("put_object"), content_of(LARGE), 10)

    async with transfer.reading(await sign("get_object"), PLENTY) as pieces:
        sizes = [len(piece) async for piece in pieces]

    assert sum(sizes) == len(LARGE)
    assert max(sizes) <= 64 * 1024


async def test_what_is_larger_than_expected_is_not_taken(sign: Sign, transfer: Transfer) -> None:
    await transfer.put(await sign("put_object"), content_of(LARGE), 10)

    with pytest.raises(FaultError) as refused:
        await transfer.get(await sign("get_object"), len(LARGE) - 1, 10)

    assert refused.value.fault.code is FaultCode.TOO_LARGE


async def test_a_url_that_is_not_good_is_refused_and_not_named(sign: Sign, transfer: Transfer) -> None:
    other_size = await sign("put_object", ContentLength=5)
    missing = await sign("get_object", Key="missing")

    for work in (transfer.put(other_size, content_of(b"123456"), 10), transfer.get(missing, PLENTY, 10)):
        with pytest.raises(FaultError) as refused:
            await work
        assert refused.value.fault.code is FaultCode.NOT_FOUND
        assert "http" not in refused.value.fault.message


async def test_a_store_that_is_not_there_is_unavailable_and_its_url_not_named(transfer: Transfer) -> None:
    url = f"http://{LOOPBACK}:{free_port()}/bucket/key?X-Amz-Signature=secret"

    for work in (transfer.put(url, content_of(LARGE), 10), transfer.get(url, PLENTY, 10)):
        with pytest.raises(FaultError) as failed:
            await work
        assert failed.value.fault.code is FaultCode.UNAVAILABLE
        assert failed.value.fault.retryable
        assert "secret" not in failed.value.fault.message


async def test_a_store_that_answers_nothing_is_given_up_in_time(s3: S3Server, sign: Sign, transfer: Transfer) -> None:
    put, get = await sign("put_object"), await sign("get_object")

    with s3.suspended():
        for work in (transfer.put(put, content_of(b"x"), 0.3), transfer.get(get, PLENTY, 0.3)):
            with pytest.raises(FaultError) as failed:
                await work
            assert failed.value.fault.code is FaultCode.UNAVAILABLE


async def test_an_error_of_whoever_takes_the_pieces_stays_what_it_is(sign: Sign, transfer: Transfer) -> None:
    await transfer.put(await sign("put_object"), content_of(LARGE), 10)

    with pytest.raises(ConnectionResetError):
        async with transfer.reading(await sign("get_object"), PLENTY):
            raise ConnectionResetError
