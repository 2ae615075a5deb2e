"""What workers report is stored in company if who waits for it was told, and at once if nobody was."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from functools import partial

import pytest
from prometheus_client import REGISTRY

from gridloom_kit.batch import GroupCommit
from gridloom_kit.outbox import Outbox
from gridloom_scheduler.followed import Followed
from gridloom_scheduler.foretelling import Foretelling, store
from gridloom_scheduler.post import Post
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules.changes import Change
from gridloom_scheduler.under_way import UnderWay
from unit.scheduler.test_outbox import Recorder
from unit.scheduler.test_post import Line, awaited, succeeded

PATIENCE_SECONDS = 5.0
VAIN = "gridloom_ends_foretold_in_vain_total"


class Record:
    """Stores what is not `forestalled`, and remembers each write: its jobs, and those of whose end was told."""

    def __init__(self, forestalled: str | None = None) -> None:
        self.writes: list[tuple[list[str], set[str]]] = []
        self.landed: list[str] = []
        self._forestalled = forestalled

    async def commit(self, changes: Sequence[Change], foretold: Collection[str] = ()) -> list[bool]:
        self.writes.append(([change.before.id for change in changes], set(foretold)))
        return [change.before.id != self._forestalled for change in changes]

    def land(self, job: JobRecord) -> None:
        self.landed.append(job.id)


def foretelling(record: Record, writing: GroupCommit, line: Line | None = None) -> Foretelling:  # type: ignore[type-arg]
    """Return one that tells whoever waits."""
    recorder = Recorder()
    post = Post(Outbox(recorder, recorder, recorder.on_order), line or Line(), Followed(), foretells=True)
    return Foretelling(UnderWay(), record, post, writing)


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """So much of it that nothing is stored because time is over."""
    monkeypatch.setattr("gridloom_scheduler.foretelling._PATIENCE_SECONDS", 3600.0)


@pytest.mark.usefixtures("patience")
async def test_ends_of_which_who_waits_was_told_are_stored_together_once_they_are_enough() -> None:
    record, line = Record(), Line()
    jobs = [f"job{number}" for number in range(6)]
    async with asyncio.timeout(PATIENCE_SECONDS), GroupCommit(partial(store, record)) as writing:
        tells = foretelling(record, writing, line)
        won = await asyncio.gather(*(tells.commit([succeeded(awaited(id=job))]) for job in jobs))

    assert won == [[True]] * 6
    assert len(line.sent) == 6
    assert record.writes == [(jobs, set(jobs))]
    assert record.landed == jobs


@pytest.mark.usefixtures("patience")
async def test_an_end_of_which_nobody_was_told_is_stored_at_once_and_takes_others_along() -> None:
    record = Record()
    async with asyncio.timeout(PATIENCE_SECONDS), GroupCommit(partial(store, record)) as writing:
        tells = foretelling(record, writing)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(tells.commit([succeeded(awaited(id="told"))]))
            for _turn in range(10):  # until it waits for others
                await asyncio.sleep(0)
            await tells.commit([succeeded(awaited(id="untold", waiter=None))])

    assert record.writes == [(["told", "untold"], {"told"})]


async def test_an_end_of_which_who_waits_was_told_does_not_wait_for_ever() -> None:
    record = Record()
    async with asyncio.timeout(PATIENCE_SECONDS), GroupCommit(partial(store, record)) as writing:
        assert await foretelling(record, writing).commit([succeeded(awaited(id="told"))]) == [True]


async def test_an_end_that_something_forestalled_is_counted_and_said_not_to_have_won() -> None:
    record = Record(forestalled="job1")
    vain = REGISTRY.get_sample_value(VAIN) or 0.0
    ends = [succeeded(awaited(id="job1")), succeeded(awaited(id="job2"))]
    async with asyncio.timeout(PATIENCE_SECONDS), GroupCommit(partial(store, record)) as writing:
        assert await foretelling(record, writing).commit(ends) == [False, True]
    assert REGISTRY.get_sample_value(VAIN) == vain + 1
