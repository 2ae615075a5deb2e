"""Echoes that are objects: put back where a dialect looks for them, and never too many at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gridloom_contract.fault import FaultCode, FaultError
from gridloom_gateway import echoes
from gridloom_testing.builders import a_job


@asynccontextmanager
async def opened(ref: str) -> AsyncIterator[AsyncIterator[str]]:
    async def pieces() -> AsyncIterator[str]:
        size = int(ref)
        yield '{"text":"'
        for _ in range(size // 1024):
            yield "x" * 1024
        yield '"}'

    yield pieces()


async def test_an_echo_is_put_back_and_others_stay_as_they_are() -> None:
    plain = a_job(echo={"text": "small"})
    large = a_job(echo=echoes.set_aside("2048"))

    assert [job.echo for job in await echoes.with_echoes([plain, large], opened)] == [
        {"text": "small"},
        {"text": "x" * 2048},
    ]


async def test_an_echo_is_gone_with_its_jobs_data() -> None:
    purged = a_job(echo=echoes.set_aside("2048"), data_removed=True)

    assert await echoes.with_echoes([purged], opened) == [purged]


async def test_more_than_memory_allows_is_refused() -> None:
    jobs = [a_job(echo=echoes.set_aside(str(40 * 1024 * 1024))) for _ in range(2)]

    with pytest.raises(FaultError) as raised:
        await echoes.with_echoes(jobs, opened)

    assert raised.value.fault.code is FaultCode.TOO_LARGE
