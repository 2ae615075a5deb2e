"""Group commit: batches under load, no delay when idle, and nobody's failure but one's own batch's."""

from __future__ import annotations

import asyncio

import pytest

from gridloom_kit.batch import GroupCommit


class Ledger:
    """Commits when it is told to, and remembers the batches it saw."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = asyncio.Event()

    async def commit(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        await self.open.wait()
        if -1 in items:
            raise ValueError("minus one")
        return [item * 10 for item in items]


async def test_an_idle_commit_goes_out_alone_and_the_rest_together() -> None:
    ledger = Ledger()
    async with GroupCommit(ledger.commit) as group, asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(group.submit(item)) for item in range(5)]
        await asyncio.sleep(0)
        ledger.open.set()
    assert [task.result() for task in waiting] == [0, 10, 20, 30, 40]
    assert len(ledger.batches) == 2 or ledger.batches == [[0, 1, 2, 3, 4]]


async def test_a_batch_never_exceeds_its_limits() -> None:
    ledger = Ledger()
    ledger.open.set()
    async with GroupCommit(ledger.commit, max_items=3, share=lambda item: item / 10) as group:
        await asyncio.gather(*(group.submit(item) for item in (1, 1, 1, 1, 9, 9, 50)))
    assert all(len(batch) <= 3 for batch in ledger.batches)
    assert all(sum(batch) <= 10 or len(batch) == 1 for batch in ledger.batches)


async def test_an_error_reaches_every_caller_of_its_batch_and_no_other() -> None:
    ledger = Ledger()
    ledger.open.set()
    async with GroupCommit(ledger.commit, max_items=1) as group:
        results = await asyncio.gather(*(group.submit(item) for item in (1, -1, 2)), return_exceptions=True)
    assert results[0] == 10
    assert isinstance(results[1], ValueError)
    assert results[2] == 20


async def test_a_caller_that_leaves_does_not_disturb_the_others() -> None:
    ledger = Ledger()
    async with GroupCommit(ledger.commit) as group, asyncio.TaskGroup() as tasks:
        leaves = tasks.create_task(group.submit(1))
        stays = tasks.create_task(group.submit(2))
        await asyncio.sleep(0)
        leaves.cancel()
        ledger.open.set()
    assert stays.result() == 20


async def test_leaving_waits_for_what_was_submitted() -> None:
    ledger = Ledger()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05), GroupCommit(ledger.commit) as group:
            await group.submit(1)


async def test_what_may_wait_waits_for_company_and_goes_out_when_the_first_is_due() -> None:
    ledger = Ledger()
    ledger.open.set()
    async with GroupCommit(ledger.commit) as group, asyncio.TaskGroup() as tasks:
        for item in range(5):
            tasks.create_task(group.submit(item, within_seconds=3600))
        await asyncio.sleep(0.001)
        assert ledger.batches == []
        await group.submit(5, within_seconds=0.01)
    assert ledger.batches == [[0, 1, 2, 3, 4, 5]]


async def test_what_cannot_wait_takes_along_what_could() -> None:
    ledger = Ledger()
    ledger.open.set()
    async with GroupCommit(ledger.commit) as group, asyncio.TaskGroup() as tasks:
        patient = tasks.create_task(group.submit(1, within_seconds=3600))
        await asyncio.sleep(0.001)
        assert await group.submit(2) == 20
        assert await patient == 10
    assert ledger.batches == [[1, 2]]


async def test_a_full_batch_waits_for_nobody() -> None:
    ledger = Ledger()
    ledger.open.set()
    async with GroupCommit(ledger.commit, max_items=2) as group:
        await asyncio.gather(*(group.submit(item, within_seconds=3600) for item in (1, 2, 3, 4)))
    assert ledger.batches == [[1, 2], [3, 4]]


async def test_what_came_while_a_batch_was_under_way_waits_its_own_time() -> None:
    ledger = Ledger()
    async with GroupCommit(ledger.commit) as group, asyncio.TaskGroup() as tasks:
        first = tasks.create_task(group.submit(1))
        await asyncio.sleep(0)
        tasks.create_task(group.submit(2, within_seconds=3600))
        ledger.open.set()
        await first
        await asyncio.sleep(0.001)
        assert ledger.batches == [[1]]
        await group.submit(3)
    assert ledger.batches == [[1], [2, 3]]


async def test_a_few_go_beside_what_is_under_way_and_more_go_together_after_it() -> None:
    ledger = Ledger()
    async with GroupCommit(ledger.commit, aside=3) as group, asyncio.TaskGroup() as tasks:
        for item in range(3):
            tasks.create_task(group.submit(item))
            await asyncio.sleep(0.001)
        assert ledger.batches == [[0], [1], [2]]
        later = [tasks.create_task(group.submit(item)) for item in (3, 4)]
        await asyncio.sleep(0.001)
        assert ledger.batches == [[0], [1], [2]]
        ledger.open.set()
        await asyncio.gather(*later)
    assert ledger.batches == [[0], [1], [2], [3, 4]]


async def test_lanes_take_batches_at_the_same_time() -> None:
    ledger = Ledger()
    async with GroupCommit(ledger.commit, lanes=2, max_items=2) as group, asyncio.TaskGroup() as tasks:
        for item in range(5):
            tasks.create_task(group.submit(item))
        await asyncio.sleep(0.001)
        assert ledger.batches == [[0, 1], [2, 3]]
        ledger.open.set()
    assert ledger.batches == [[0, 1], [2, 3], [4]]


async def test_company_enough_waits_for_no_more() -> None:
    ledger = Ledger()
    ledger.open.set()
    async with GroupCommit(ledger.commit) as group:
        await asyncio.gather(*(group.submit(item, within_seconds=3600, company=2) for item in (1, 2, 3)))
    assert ledger.batches == [[1, 2, 3]]
