"""Jobs with somebody waiting: answered once, and canceled when nobody waits any more, however early that is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from gridloom_contract.events import JobFinished
from gridloom_contract.fault import FaultError
from gridloom_contract.jobs import Acceptance, Job, Submission
from gridloom_contract.vocabulary import State
from gridloom_contract.work import TokenChunk
from gridloom_domain.errors import NotFound, Unavailable, UnknownModel
from gridloom_gateway.attendance import Attendance
from gridloom_gateway.ending import Ending
from gridloom_gateway.follow import Follower, Rhythm, Source
from gridloom_gateway.updates import Moved, Said
from gridloom_testing.builders import a_job, a_submission

NOON = datetime(2026, 6, 20, 12, 0, tzinfo=UTC)
DONE = a_job(state=State.SUCCEEDED, output="loom")


class Scene:
    """A grid that takes jobs in while `is_open`, and answers with `answers`. `asked` is what it was asked to do."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.refusal: FaultError | None = None
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.answers: list[Job | FaultError] = [DONE]
        self.endings: list[Ending] = []
        self.attendance = Attendance(self, self, self.cancel)  # type: ignore[arg-type]

    async def submit(self, submission: Submission) -> Acceptance:
        self.asked.append("submit")
        if self.refusal:
            raise self.refusal
        await self.is_open.wait()
        return Acceptance(job=submission.job, state=State.CLAIMED, worker="w1", attempt=1)

    async def cancel(self, _account: str, _job: str) -> Job:
        self.asked.append("cancel")
        return a_job(state=State.CANCELED)

    async def get(self) -> Job:
        self.asked.append("get")
        answer = self.answers.pop(0)
        if isinstance(answer, FaultError):
            raise answer
        return answer

    async def awaited(self, submission: Submission) -> Submission:
        return replace(submission, waiter="us")

    @asynccontextmanager
    async def ending(self, submission: Submission, *, is_kept: bool) -> AsyncIterator[Ending]:
        assert is_kept or submission.waiter, "nobody would tell us"
        self.endings.append(Ending(submission.job, self.get))
        yield self.endings[-1]

    @asynccontextmanager
    async def heard(self, _account: str, job: str, _start: object) -> AsyncIterator[Follower]:
        yield Follower(job, Source(self.get, None, None), None)  # type: ignore[arg-type]

    @asynccontextmanager
    async def waiting(self, *, is_kept: bool = False) -> AsyncIterator[asyncio.Task[Job]]:
        """Have somebody wait for an answer; who is still there in the end leaves."""
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.attendance.answered(a_submission(), is_kept=is_kept))
            for _ in range(5):
                await asyncio.sleep(0)
            yield task
            task.cancel()

    async def finish(self) -> None:
        """Say that the job is over."""
        end: dict[str, Any] = {"state": State.SUCCEEDED, "key": "k", "model": "m", "dialect": "d"}
        await self.endings[-1].on_fact(
            JobFinished(job="j", account="a", seq=1, at=NOON, id="1", attempt=1, **end), "", {}
        )


@pytest.fixture
async def scene() -> Scene:
    return Scene()


async def test_the_record_is_asked_once_when_the_job_is_over(scene: Scene) -> None:
    async with scene.waiting() as task:
        await scene.finish()
        assert await task is DONE
    assert scene.asked == ["submit", "get"]


async def test_who_is_told_how_the_job_ended_asks_nobody(scene: Scene) -> None:
    async with scene.waiting() as task:
        scene.endings[-1].end(DONE)
        await scene.finish()
        assert await task is DONE
    assert scene.asked == ["submit"]


async def test_who_leaves_while_waiting_cancels_the_job(scene: Scene) -> None:
    async with scene.waiting():
        pass
    assert scene.asked == ["submit", "cancel"]


async def test_who_leaves_while_the_job_is_handed_in_has_it_handed_in_and_canceled(scene: Scene) -> None:
    scene.is_open.clear()
    async with scene.waiting() as task:
        task.cancel()
        scene.is_open.set()
    assert scene.asked == ["submit", "submit", "cancel"]


async def test_what_was_refused_is_not_canceled(scene: Scene) -> None:
    scene.refusal = UnknownModel("nobody knows it")
    with pytest.raises(UnknownModel):
        await scene.attendance.answered(a_submission(), is_kept=False)
    assert scene.asked == ["submit"]


async def test_a_kept_job_may_be_over_already_and_goes_on_without_anybody(scene: Scene) -> None:
    assert await scene.attendance.answered(a_submission(), is_kept=True) is DONE
    scene.answers = [a_job(state=State.RUNNING)]
    async with scene.waiting(is_kept=True):
        pass
    assert scene.asked == ["submit", "get", "submit", "get"]


async def test_who_waits_is_patient_with_a_scheduler_that_restarts_and_with_lost_news(scene: Scene) -> None:
    scene.answers = [Unavailable("restarting"), a_job(state=State.RUNNING), DONE]
    async with scene.waiting() as task:
        for _ in range(3):
            scene.endings[-1].tick(Rhythm(recheck_seconds=0))
            for _ in range(5):
                await asyncio.sleep(0)
        assert await task is DONE


async def test_who_waits_for_a_job_that_is_gone_hears_so(scene: Scene) -> None:
    scene.answers = [NotFound("gone")]
    with pytest.raises(NotFound):
        await scene.attendance.answered(a_submission(), is_kept=True)


@pytest.mark.parametrize(("is_over", "asked"), [(True, ["submit"]), (False, ["submit", "cancel"])])
async def test_who_leaves_a_stream_before_its_end_cancels_the_job(
    scene: Scene, is_over: bool, asked: list[str]
) -> None:
    async with scene.attendance.attended(a_submission(), is_kept=False) as follower:
        follower.is_over = is_over
    assert scene.asked == asked


async def test_a_stream_of_a_kept_job_begins_with_what_is_known(scene: Scene) -> None:
    async with scene.attendance.attended(a_submission(), is_kept=True) as follower:
        updates = await follower.next()
    assert [type(update).__name__ for update in updates] == ["Said", "Ended"]
    assert scene.asked == ["submit", "get"]


async def test_the_worker_that_has_the_job_at_once_is_believed_without_asking(scene: Scene) -> None:
    async with scene.attendance.attended(a_submission(job="j"), is_kept=False) as follower:
        await follower.on_chunk(TokenChunk(job="j", attempt=1, offset=0, text="loom"), "tok.w1.j", {})
        await follower.on_chunk(TokenChunk(job="j", attempt=1, offset=4, text="?"), "tok.w2.j", {})
        updates = [*await follower.next(), *await follower.next()]
        follower.is_over = True

    assert updates == [Moved(State.CLAIMED, 1), Said("loom", 1, 4)]
    assert scene.asked == ["submit"]
