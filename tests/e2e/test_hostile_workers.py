"""What a worker tries that has a valid token and bad intentions, on the wire, while an honest one has a job."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from nats.aio.msg import Msg
from nats.js.errors import NotFoundError

from e2e.conftest import SLOW
from e2e.strangers import a_stranger
from gridloom_contract import subjects
from gridloom_contract.base import encode
from gridloom_contract.permissions import of_worker, service_inbox, worker_inbox
from gridloom_contract.streams import EVENTS, SHARD_BUCKET, STREAMS, TOKENS, WORK_STREAMS
from gridloom_contract.work import TokenChunk, Verdict
from gridloom_domain import ids
from gridloom_testing.admission import worker_of
from gridloom_testing.builders import a_job_id, a_result, a_worker_hello, an_offer
from gridloom_testing.clients import ApiClient, Probe, hostile_worker, open_probe
from gridloom_testing.grid import Grid
from integration.gateway.reading import reading

LANE, MODEL = "normal", "synthetic"
STREAM = WORK_STREAMS[LANE]


@dataclass(frozen=True)
class Victim:
    """An honest worker and a job it has in hand."""

    worker: str
    job: str


@pytest.fixture
async def victim(client: ApiClient) -> Victim:
    name = await client.submit(prompt=SLOW)
    await client.reached(name, "started")
    started = (await client.timeline(name))[-1]
    return Victim(started["worker"], ids.from_uuid(name))


@pytest.fixture
def token(grid: Grid) -> str:
    """The token of the worker that means ill."""
    return grid.enrol()


@pytest.fixture
async def thief(grid: Grid, token: str) -> AsyncIterator[Probe]:
    """Its connection."""
    async with hostile_worker(grid.nats, token) as probe:
        yield probe


async def unharmed(client: ApiClient, victim: Victim) -> None:
    """Assert that the victim ends its job at the first attempt, with every word."""
    document = await client.ended(ids.as_uuid(victim.job))
    assert (document["status"], document["attempts"], len(document["output"].split())) == ("completed", 1, 60)


async def test_it_cannot_take_another_workers_orders(
    client: ApiClient, thief: Probe, token: str, victim: Victim
) -> None:
    for stream in WORK_STREAMS.values():
        for worker in (victim.worker, worker_of(token)):
            assert not await thief.may_publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{worker}", b'{"batch":9}')
        for verb in ("CREATE", "DURABLE.CREATE", "INFO", "DELETE", "PAUSE"):
            assert not await thief.may_publish(f"$JS.API.CONSUMER.{verb}.{stream}.{victim.worker}")
        assert not await thief.may_publish(f"$JS.API.STREAM.MSG.GET.{stream}", b'{"seq":1}')
    assert not await thief.may_subscribe("work.>")
    assert not await thief.may_subscribe(subjects.work(LANE, MODEL, victim.worker, victim.job))
    for lane in (*WORK_STREAMS, "*"):
        assert not await thief.may_subscribe(subjects.order(victim.worker, lane))
        assert not await thief.may_subscribe(subjects.order("*", lane))
        assert not await thief.may_publish(subjects.order(victim.worker, lane))
    await unharmed(client, victim)


async def test_it_cannot_acknowledge_another_workers_orders(client: ApiClient, thief: Probe, victim: Victim) -> None:
    for stream in WORK_STREAMS.values():
        for word in (b"+ACK", b"+TERM", b"-NAK", b"+NXT"):
            assert not await thief.may_publish(f"$JS.ACK.{stream}.{victim.worker}.1.1.1.0.0", word)
        assert not await thief.may_publish(f"$JS.API.STREAM.PURGE.{stream}")
    await unharmed(client, victim)


async def test_it_cannot_read_what_others_are_asked_or_answer(client: ApiClient, thief: Probe, victim: Victim) -> None:
    for subject in (
        subjects.live(victim.job),
        subjects.tokens(victim.worker, victim.job),
        "tok.*.*",
        subjects.events_of_job(victim.job),
        subjects.control(victim.worker),
        subjects.stop("*"),
        f"{worker_inbox(victim.worker)}.>",
        *(f"{service_inbox(service)}.>" for service in ("gateway", "scheduler", "callout")),
        "_INBOX.>",
        "$JS.EVENT.>",
        "$SYS.>",
        "$SYS.REQ.USER.AUTH",
        "_R_.>",
        ">",
    ):
        assert not await thief.may_subscribe(subject), subject
    for stream in (TOKENS, EVENTS, f"KV_{SHARD_BUCKET}"):
        assert not await thief.may_publish(f"$JS.API.DIRECT.GET.{stream}", b'{"seq":1}')
        assert not await thief.may_publish(f"$JS.API.STREAM.MSG.GET.{stream}", b'{"seq":1}')
    assert not await thief.may_publish(f"$JS.API.DIRECT.GET.{TOKENS}.{subjects.tokens(victim.worker, victim.job)}")
    await unharmed(client, victim)


async def test_it_cannot_answer_for_another_worker_or_for_a_service(
    client: ApiClient, thief: Probe, victim: Victim
) -> None:
    for subject in (
        subjects.worker_report(victim.worker),
        subjects.worker_hello(victim.worker),
        subjects.worker_heartbeat(victim.worker),
        subjects.tokens(victim.worker, victim.job),
        subjects.live(victim.job),
        subjects.event("finished", victim.job),
        subjects.stop(victim.worker),
        subjects.control(victim.worker),
        subjects.work(LANE, MODEL, victim.worker, victim.job),
        subjects.JOBS_SUBMIT,
        subjects.JOB_GET,
        subjects.JOB_CANCEL,
        subjects.WORKER_ENROL,
        subjects.SCHEDULER_WAKE,
        f"$KV.{SHARD_BUCKET}.0",
        f"{worker_inbox(victim.worker)}.x",
        f"{service_inbox('gateway')}.x",
        *(f"$JS.API.STREAM.DELETE.{stream.name}" for stream in STREAMS),
    ):
        assert not await thief.may_publish(subject), subject
    await unharmed(client, victim)


async def test_words_it_puts_into_anothers_job_never_reach_a_reader(
    grid: Grid, client: ApiClient, thief: Probe, token: str
) -> None:
    async with a_stranger(grid, "coveted") as holder:
        name = await client.submit("coveted")
        order = await holder.next_order()
        await holder.start(order)
        mine, its = (subjects.tokens(worker, order.job) for worker in (worker_of(token), holder.id))
        async with reading(client, name) as reader:
            await holder.bus.publish(its, TokenChunk(job=order.job, attempt=1, offset=0, text="honest"))
            await reader.until_text("honest")
            # Each lie says what could come next: the text goes on, starts over, or belongs to a later attempt.
            for attempt, offset in ((1, 6), (1, 0), (2, 0), (0, 0)):
                lie = TokenChunk(job=order.job, attempt=attempt, offset=offset, text=" lies")
                assert await thief.may_publish(mine, encode(lie))
            await holder.bus.publish(its, TokenChunk(job=order.job, attempt=1, offset=6, text=" words"))
            await reader.until_text("honest words")
            async with reading(client, name) as late:
                await late.until_text("honest words")
                await holder.end(order, output="honest words")
                ends = [await reader.until_done(), await late.until_done()]

    assert [document["output"] for document in ends] == ["honest words"] * 2
    assert reader.resets == late.resets == 0


async def test_forged_stale_and_repeated_results_change_nothing(grid: Grid, client: ApiClient) -> None:
    async with a_stranger(grid, "treasured") as holder, a_stranger(grid, "elsewhere") as thief:
        name = await client.submit("treasured")
        order = await holder.next_order()
        await holder.start(order)
        before = await client.job(name)

        stolen = [await thief.report(results=(a_result(order, output="stolen"),)), await thief.start(order)]
        forged = [
            await holder.report(results=(a_result(order, output="forged", **lie),))
            for lie in ({"token": "0" * 32}, {"attempt": 2}, {"attempt": 0})
        ]
        assert await client.job(name) == before
        await holder.end(order, output="honest")
        ended = await client.job(name)
        repeated = await holder.report(results=(a_result(order, output="again"),))
        await thief.report(results=(a_result(order, output="late"),))

        assert verdicts_of(*stolen, *forged) == [Verdict.STALE] * 5
        assert verdicts_of(repeated) == [Verdict.RECORDED]
        assert (ended["status"], ended["output"]) == ("completed", "honest")
        assert await client.job(name) == ended
        assert [event["type"] for event in await client.timeline(name)].count("finished") == 1


def verdicts_of(*receipts: Any) -> list[Verdict]:
    return [verdict for receipt in receipts for verdict in (*receipt.started, *receipt.results)]


async def test_it_cannot_have_the_scheduler_speak_for_it(grid: Grid, thief: Probe, token: str) -> None:
    fact = subjects.event("finished", a_job_id())
    subject, body = hello_of(token)
    async with open_probe(grid.nats, **grid.nats.login_of("admin")) as admin:
        await thief.client.publish(subject, body, reply=fact)
        await thief.client.request(subject, body, timeout=5)  # by then the one before has been answered, if at all

        with pytest.raises(NotFoundError):
            await admin.client.jetstream().get_last_msg(EVENTS, fact)


async def test_it_cannot_have_the_server_speak_for_it(grid: Grid, client: ApiClient, token: str) -> None:
    low = WORK_STREAMS["low"]
    async with a_stranger(grid, "bait", token) as thief, open_probe(grid.nats, **grid.nats.login_of("admin")) as admin:
        streams = admin.client.jetstream()
        born = (await streams.stream_info(low)).created
        thief.loses_orders = True
        await client.submit("bait")
        order = (await thief.lost.get()).reply

        for word in (b"+WPI", b"+NXT", b'+NXT {"batch":1}', b"-NAK", b"+ACK"):
            await thief.bus.client.publish(order, word, reply=f"$JS.API.STREAM.DELETE.{low}")
            await thief.bus.client.request(order, word, timeout=5)  # by then the one before has been answered

        assert (await streams.stream_info(low)).created == born


async def test_no_reply_subject_it_names_means_anything_to_others(grid: Grid, client: ApiClient, token: str) -> None:
    other = grid.enrol()
    async with (
        a_stranger(grid, "bait", token) as thief,
        hostile_worker(grid.nats, other) as neighbour,
        open_probe(grid.nats, **grid.nats.login_of("admin")) as admin,
    ):
        thief.loses_orders = True
        await client.submit("bait")
        order = (await thief.lost.get()).reply
        names = foreign_subjects(worker_of(other))
        among_services, among_workers = await overheard(admin, *names), await overheard(neighbour, *own(other))

        for subject, body in utterances(token, order):
            for name in names:
                await thief.bus.client.publish(subject, body, reply=name)
        for subject, body in (hello_of(token), (order, b"+WPI")):  # by then those before have been answered
            await thief.bus.client.request(subject, body, timeout=10)
        for probe in (admin, neighbour):
            await probe.client.flush()

        assert among_services == []
        assert [subject for subject, data in among_workers if data] == []
        assert set(among_workers) <= {(subject, b"") for subject in names}


def foreign_subjects(other: str) -> tuple[str, ...]:
    """Return subjects that mean something to somebody else; nobody of this test's grid speaks on any of them."""
    job = a_job_id()
    return (
        f"{worker_inbox(other)}.bait",
        *(f"{service_inbox(service)}.bait" for service in ("gateway", "scheduler", "callout", "admin")),
        "_INBOX.bait",
        subjects.control(other),
        subjects.stop(other),
        subjects.order(other, LANE),
        subjects.worker_hello(other),
        subjects.worker_heartbeat(other),
        subjects.worker_report(other),
        subjects.worker_upload(other),
        subjects.tokens(other, job),
        subjects.live(job),
        subjects.event("finished", job),
        subjects.work(LANE, MODEL, other, job),
        subjects.SCHEDULER_WAKE + ".bait",
        f"$KV.{SHARD_BUCKET}.bait",
        f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{other}",
        f"$JS.API.CONSUMER.DELETE.{STREAM}.{other}",
        "$JS.API.STREAM.DELETE.BAIT",
        "$SYS.REQ.USER.AUTH",
    )


def own(token: str) -> tuple[str, ...]:
    """Return everything the worker of a token may hear."""
    return of_worker(worker_of(token)).subscribe


def utterances(token: str, order: str) -> list[tuple[str, bytes]]:
    """Return everything a worker may say; `order` is where it acknowledges an order that it has."""
    me = worker_of(token)
    said = [subject for subject in of_worker(me).publish if not subject.startswith("$JS.ACK.")]
    words = (b"+WPI", b"+NXT", b"anything")
    guesses = [f"$JS.ACK.{stream}.{me}.1.1.1.0.0" for stream in WORK_STREAMS.values()]
    return [
        hello_of(token),
        *((subject.replace("*", a_job_id()), b"{}") for subject in said),
        *((subject, word) for subject in (order, *guesses) for word in words),
    ]


async def overheard(probe: Probe, *names: str) -> list[tuple[str, bytes]]:
    """Return a list that grows with all that is said on these subjects, as far as `probe` can hear it."""
    heard: list[tuple[str, bytes]] = []

    async def note(message: Msg) -> None:
        heard.append((message.subject, message.data))

    for name in names:
        await probe.client.subscribe(name, cb=note)
    await probe.client.flush()
    return heard


async def test_it_cannot_name_what_the_server_keeps_for_itself(
    thief: Probe, token: str, victim: Victim, client: ApiClient
) -> None:
    subject, body = hello_of(token)
    for reserved in ("_R_.guess.work", f"$JS.ACK.{STREAM}.{victim.worker}.1.1.1.0.0"):
        assert await thief.is_silenced(subject, body, reserved)
    await unharmed(client, victim)


def hello_of(token: str) -> tuple[str, bytes]:
    """Return subject and payload of an introduction."""
    me = worker_of(token)
    return subjects.worker_hello(me), encode(a_worker_hello(worker=me, offers=(an_offer(model="bait"),)))
