"""A plan's limit on waiting jobs is kept without counting them for every submission."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from gridloom_domain.errors import RateLimited, Unavailable
from gridloom_gateway.waiting import WaitingRoom


class Watch:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> datetime:
        return datetime(2026, 3, 4, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.seconds


class Grid:
    """Jobs that wait, and how often they were counted."""

    def __init__(self, waiting: int = 0) -> None:
        self.waiting = waiting
        self.counts = 0
        self.is_down = False
        self.watch = Watch()
        self.gateway = self.another_gateway()

    def another_gateway(self) -> WaitingRoom:
        return WaitingRoom(self.count, self.watch)

    async def count(self, account: str) -> int:
        assert account == "ann"
        self.counts += 1
        await asyncio.sleep(0)
        if self.is_down:
            raise Unavailable("nobody answers")
        return self.waiting

    async def submit(self, limit: int, gateway: WaitingRoom | None = None) -> bool:
        """Hand a job in, which then waits. Returns whether it was admitted."""
        try:
            async with (gateway or self.gateway).place("ann", limit):
                await asyncio.sleep(0)
                self.waiting += 1
        except RateLimited:
            return False
        return True


@pytest.mark.parametrize("limit", [0, 1, 7, 100])
async def test_exactly_as_many_may_wait_as_the_plan_allows(limit: int) -> None:
    grid = Grid()
    admitted = [await grid.submit(limit) for _ in range(limit + 3)]
    assert admitted == [True] * limit + [False] * 3


async def test_nor_do_more_when_they_come_at_the_same_time() -> None:
    grid = Grid()
    admitted = await asyncio.gather(*(grid.submit(50) for _ in range(200)))
    assert admitted.count(True) == grid.waiting == 50


async def test_several_gateways_let_few_too_many_through() -> None:
    grid = Grid()
    gateways = [grid.another_gateway() for _ in range(3)]
    await asyncio.gather(*(grid.submit(60, gateways[each % 3]) for each in range(300)))
    assert grid.waiting <= 60 + 2


async def test_few_submissions_are_counted_for() -> None:
    grid = Grid()
    for _ in range(900):
        await grid.submit(1_000)
    assert grid.counts < 20


async def test_a_full_room_is_counted_twice_a_second_however_many_knock() -> None:
    grid = Grid(waiting=10)
    for _ in range(100):
        assert not await grid.submit(10)
    assert grid.counts == 1


async def test_jobs_of_one_request_come_in_together_or_not_at_all() -> None:
    grid = Grid(waiting=4)
    for jobs, is_admitted in ((7, False), (6, True), (7, False)):
        try:
            async with grid.gateway.place("ann", 10, jobs):
                assert is_admitted
        except RateLimited:
            assert not is_admitted
        grid.watch.seconds += 1.0


async def test_requests_with_many_jobs_do_not_wait_for_each_other_for_ever() -> None:
    grid = Grid()

    async def submit() -> bool:
        try:
            async with grid.gateway.place("ann", 10, 6):
                await asyncio.sleep(0)
                grid.waiting += 6
        except RateLimited:
            return False
        return True

    async with asyncio.timeout(10):
        assert sorted(await asyncio.gather(submit(), submit(), submit())) == [False, False, True]


async def test_once_jobs_have_started_others_may_come() -> None:
    grid = Grid(waiting=10)
    await grid.submit(10)
    grid.waiting = 9
    grid.watch.seconds += 0.5
    assert await grid.submit(10)


async def test_a_refusal_says_when_to_come_back() -> None:
    with pytest.raises(RateLimited) as refused:
        async with Grid(waiting=10).gateway.place("ann", 10):
            pass
    assert refused.value.fault.retry_after_seconds == 1.0


async def test_a_raised_limit_holds_at_once() -> None:
    grid = Grid(waiting=10)
    assert not await grid.submit(10)
    assert await grid.submit(11)


async def test_nobody_is_refused_because_nobody_can_count() -> None:
    grid = Grid(waiting=10)
    grid.is_down = True
    assert await grid.submit(10)
