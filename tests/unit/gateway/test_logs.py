"""A log only grows: whatever attempts say, however often they start over, and while the token stream forgets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom_contract.events import JobAssigned
from gridloom_contract.jobs import Job, Timeline
from gridloom_contract.vocabulary import State
from gridloom_contract.work import TokenChunk
from gridloom_domain.completions import line_of
from gridloom_gateway.logs import Logs, continued, grown, text_of
from gridloom_testing.builders import a_job, a_task

NOON = datetime(2026, 6, 20, 12, 0, tzinfo=UTC)
WORDS = st.text(alphabet="ab", max_size=6)


class Said:
    """A token stream: what workers said in their attempts, and what happened to the job."""

    def __init__(self, job: Job, *attempts: str) -> None:
        self.job = job
        self.chunks = {f"w{number}": [self.chunk(number, text)] for number, text in enumerate(attempts, 1)}

    def chunk(self, attempt: int, text: str, offset: int = 0) -> TokenChunk:
        return TokenChunk(job=self.job.job, attempt=attempt, offset=offset, text=text)

    async def timeline(self, account: str, job: str) -> Timeline:
        happened = {"job": job, "account": account, "at": NOON, "id": "e"}
        events = [
            JobAssigned(seq=number, worker=worker, attempt=number, served_model="m", why="free", **happened)  # type: ignore[arg-type]
            for number, worker in enumerate(self.chunks, 1)
        ]
        return Timeline(job=job, events=tuple(events))

    async def of_worker(self, worker: str, _job: str) -> list[TokenChunk]:
        return self.chunks[worker]

    def logs(self, stored: str = "") -> Logs:
        @asynccontextmanager
        async def opened(_ref: str) -> AsyncIterator[AsyncIterator[str]]:
            async def pieces() -> AsyncIterator[str]:
                for start in range(0, len(stored), 3):
                    yield stored[start : start + 3]

            yield pieces()

        return Logs(self.timeline, self.of_worker, opened)


async def shown(said: Said, job: Job, stored: str = "") -> str:
    async with text_of(await said.logs(stored).of(job)) as pieces:
        return "".join([piece async for piece in pieces])


@given(st.lists(WORDS, max_size=4))
def test_a_log_grows_with_every_character_of_every_attempt(texts: list[str]) -> None:
    steps = [(texts[:number], text[:end]) for number, text in enumerate(texts) for end in range(len(text) + 1)]
    logs = [grown([*before, part]) for before, part in steps]

    assert all(later.startswith(earlier) for earlier, later in pairwise(logs))


@given(WORDS, st.lists(st.integers(0, 6), max_size=4))
def test_an_attempt_that_repeats_all_before_is_shown_once(text: str, cuts: list[int]) -> None:
    assert grown([*(text[:cut] for cut in cuts), text]) == text


def test_an_attempt_that_says_something_else_begins_a_line() -> None:
    assert grown(["one tw", "One two"]) == "one tw\nOne two"


def test_what_is_known_goes_on_after_the_stream_has_forgotten_its_beginning() -> None:
    said = Said(a_job())

    assert continued("abc", 1, [said.chunk(1, "cd", 2), said.chunk(1, "ef", 4)]) == "abcdef"
    assert continued("abc", 1, [said.chunk(1, "xy", 7)]) == "abc"


async def test_before_the_first_attempt_there_is_nothing() -> None:
    job = a_job()

    assert await shown(Said(job), job) == ""


async def test_a_running_job_shows_what_it_has_said() -> None:
    job = a_job(state=State.RUNNING, attempt=1, worker="w1")

    assert await shown(Said(job, "half a"), job) == "half a"


async def test_a_waiting_job_keeps_what_its_lost_attempt_said() -> None:
    job = a_job(attempt=1, worker=None)

    assert await shown(Said(job, "half a"), job) == "half a"


@pytest.mark.parametrize(
    ("output", "log"), [("half a thought", "half a thought"), ("another", "half a\nanother"), ("half", "half a")]
)
async def test_a_finished_job_shows_its_output_after_what_was_lost(output: str, log: str) -> None:
    job = a_job(state=State.SUCCEEDED, attempt=2, worker="w2", output=output)

    assert await shown(Said(job, "half a", "…"), job) == log


@pytest.mark.parametrize(("stored", "log"), [("half a thought", "half a thought"), ("another", "half a\nanother")])
async def test_a_large_output_is_compared_piece_by_piece(stored: str, log: str) -> None:
    job = a_job(state=State.SUCCEEDED, attempt=2, worker="w2", output_ref="ref")

    assert await shown(Said(job, "half a", "…"), job, stored) == log


async def test_a_log_that_was_shown_is_remembered_while_the_stream_forgets() -> None:
    job = a_job(state=State.RUNNING, attempt=1, worker="w1")
    said = Said(job, "one two")
    logs = said.logs()
    first = await logs.of(job)
    said.chunks["w1"] = [said.chunk(1, " three", 7)]

    assert [first.said, (await logs.of(job)).said] == ["one two", "one two three"]


async def test_of_a_job_whose_retention_is_over_nothing_is_left() -> None:
    job = a_job(state=State.FAILED, attempt=1, worker="w1", data_removed=True)

    assert await shown(Said(job, "half a"), job) == ""


async def test_frames_of_a_raw_job_are_shown_as_their_text() -> None:
    said = [{"choices": [{"index": 0, "delta": {"content": word}}]} for word in ("Par", "is")]
    frames = "".join(map(line_of, said)) + '{"choices":[{"ind'
    job = a_job(state=State.RUNNING, attempt=1, worker="w1", task=a_task(messages=None, raw={}))

    assert await shown(Said(job, frames), job) == "Paris"
