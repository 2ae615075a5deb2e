"""The post: who waits for a job is told how it ended, in time, once, and only then."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from gridloom_contract.jobs import Job
from gridloom_contract.subjects import ended
from gridloom_contract.vocabulary import Kind, State
from gridloom_kit.outbox import Outbox
from gridloom_scheduler.followed import Followed
from gridloom_scheduler.post import Post
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules import transitions
from gridloom_scheduler.rules.changes import Change
from gridloom_scheduler.rules.transitions import Answer
from unit.scheduler.records import a_moment, a_running_record
from unit.scheduler.test_outbox import Recorder

TASK = '{"kind":"chat","raw":{"messages":[{"role":"user","content":"a secret"}]}}'


class Line:
    """Remembers what was sent."""

    def __init__(self, max_payload_bytes: int = 100_000) -> None:
        self.max_payload_bytes = max_payload_bytes
        self.sent: dict[str, bytes] = {}

    def send_soon(self, subject: str, payload: bytes) -> None:
        self.sent[subject] = payload


def awaited(**changes: object) -> JobRecord:
    """A running job for which somebody waits."""
    return a_running_record(**({"waiter": "g1", "task": TASK, "kind": Kind.CHAT, "is_raw": True} | changes))


def succeeded(job: JobRecord) -> Change:
    """The end of a job with an answer."""
    return transitions.succeeded(job, Answer("Hello!"), a_moment())


def sent_of(*changes: Change, line: Line | None = None, followed: Followed | None = None) -> Line:
    """Return what goes over the line for these changes."""
    line = line or Line()
    recorder = Recorder()
    Post(Outbox(recorder, recorder, recorder.on_order), line, followed or Followed()).changed(changes)
    return line


async def test_who_waits_is_told_the_answer_without_the_question() -> None:
    job = awaited()
    told = sent_of(succeeded(job)).sent[ended("g1", job.id)]
    view = msgspec.json.decode(told, type=Job)
    assert (view.state, view.output, view.account) == (State.SUCCEEDED, "Hello!", job.account)
    assert (view.task.kind, view.task.raw) == (Kind.CHAT, {})
    assert b"a secret" not in told


@pytest.mark.parametrize("job", [awaited(waiter=None), a_running_record(sync=True)], ids=["later", "native"])
async def test_for_whom_nobody_waits_nothing_is_told(job: JobRecord) -> None:
    assert sent_of(succeeded(job)).sent == {}


async def test_who_follows_a_job_is_told_its_end_once() -> None:
    job, followed = awaited(waiter=None), Followed()
    followed.note(job.id, "g2")
    followed.note(job.id, "g3")
    told = sent_of(succeeded(job), followed=followed).sent
    assert set(told) == {ended("g2", job.id), ended("g3", job.id)}
    assert msgspec.json.decode(told[ended("g2", job.id)], type=Job).output == "Hello!"
    assert sent_of(succeeded(job), followed=followed).sent == {}


async def test_who_follows_a_job_is_told_nothing_before_its_end() -> None:
    job, followed = awaited(waiter=None), Followed()
    followed.note(job.id, "g2")
    setback = transitions.Setback(transitions.Reason.LEASE_LOST)
    assert sent_of(transitions.requeued(job, setback, a_moment()), followed=followed).sent == {}
    assert list(followed.take(job.id)) == ["g2"]


def test_so_many_followed_jobs_are_remembered_and_no_more() -> None:
    followed = Followed(most=2)
    for job in ("one", "two", "two", "three"):
        followed.note(job, "g2")
    assert [list(followed.take(job)) for job in ("one", "two", "three")] == [[], ["g2"], ["g2"]]


def test_who_does_not_follow_a_job_any_more_is_forgotten() -> None:
    followed = Followed()
    followed.note("one", "g2")
    followed.note("one", "g3")
    for gateway in ("g2", "g2", "another"):
        followed.forget("one", gateway)
    followed.forget("two", "g2")
    assert [list(followed.take(job)) for job in ("one", "two")] == [["g3"], []]


async def test_what_has_not_ended_is_not_told() -> None:
    setback = transitions.Setback(transitions.Reason.LEASE_LOST)
    assert sent_of(transitions.requeued(awaited(), setback, a_moment())).sent == {}


async def test_what_does_not_fit_is_left_to_be_asked_for() -> None:
    assert sent_of(succeeded(awaited()), line=Line(max_payload_bytes=100)).sent == {}


async def test_the_facts_go_out_all_the_same() -> None:
    recorder, stop = Recorder(), asyncio.Event()
    outbox, job = Outbox(recorder, recorder, recorder.on_order), awaited()
    Post(outbox, Line(), Followed()).changed([succeeded(job)])
    stop.set()
    await outbox.run(stop)
    assert recorder.sent == [f"{job.id}:4"]


async def test_who_waits_is_told_once_where_the_end_is_foretold() -> None:
    recorder, line, change = Recorder(), Line(), succeeded(awaited())
    post = Post(Outbox(recorder, recorder, recorder.on_order), line, Followed(), foretells=True)

    foretold = await post.foretell([change, succeeded(awaited(waiter=None))])
    told = dict(line.sent)
    line.sent.clear()
    post.changed([change], foretold)

    assert (foretold, set(told)) == ({change.before.id}, {ended("g1", change.before.id)})
    assert line.sent == {}


@pytest.mark.parametrize(("foretells", "berth"), [(False, None), (True, 0)], ids=["not_wanted", "few_at_once"])
async def test_not_every_end_is_foretold(foretells: bool, berth: int | None) -> None:
    recorder, line = Recorder(), Line()
    post = Post(Outbox(recorder, recorder, recorder.on_order), line, Followed(), foretells=foretells)

    assert await post.foretell([succeeded(awaited(berth=berth))]) == frozenset()
    assert line.sent == {}


@pytest.mark.parametrize("can_wait", [awaited(), awaited(waiter=None, batch=True)], ids=["told", "of a batch"])
async def test_facts_that_somebody_waits_for_go_before_those_of_whom_is_told_and_of_batches(
    can_wait: JobRecord,
) -> None:
    recorder, stop = Recorder(), asyncio.Event()
    outbox = Outbox(recorder, recorder, recorder.on_order)
    later_end, other_end = succeeded(can_wait), succeeded(awaited(waiter=None))

    Post(outbox, Line(), Followed()).changed([later_end, other_end])
    stop.set()
    await outbox.run(stop)

    assert recorder.batches == [[f"{other_end.before.id}:4"], [f"{later_end.before.id}:4"]]
