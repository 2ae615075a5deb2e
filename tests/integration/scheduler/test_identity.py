"""Who may connect as a worker, and what it may do then; tried on the wire."""

from __future__ import annotations

import asyncio

import pytest
from nats.errors import Error as NatsError

from gridloom_contract import registry, subjects
from gridloom_contract.fleet import ListWorkers, RevokeWorker
from gridloom_contract.permissions import worker_inbox
from gridloom_contract.streams import WORK_STREAMS
from gridloom_contract.vocabulary import State
from gridloom_testing.builders import a_worker_token
from gridloom_testing.clients import open_probe
from gridloom_testing.servers import NatsServer
from integration.scheduler.conftest import Replica, StartWorker
from integration.scheduler.scripted import Gateway


async def refused_message(nats_server: NatsServer, token: str) -> str:
    """Return what the server says when it refuses a token."""
    with pytest.raises(NatsError) as refused:
        async with open_probe(nats_server, token=token):
            pass
    return str(refused.value)


async def test_unknown_revoked_and_wrong_tokens_are_refused_alike(
    scheduler: Replica, gateway: Gateway, nats_server: NatsServer
) -> None:
    enrolled, revoked = await gateway.enrol(), await gateway.enrol()
    await gateway.ask(registry.REVOKE_WORKER, RevokeWorker(worker=revoked.worker))
    wrong = enrolled.token[:-1] + ("a" if enrolled.token[-1] != "a" else "b")

    answers = {
        await refused_message(nats_server, token)
        for token in (wrong, revoked.token, a_worker_token(), "glw_", "anything")
    }

    assert len(answers) == 1
    async with open_probe(nats_server, token=enrolled.token, inbox_prefix=worker_inbox(enrolled.worker)):
        pass


async def test_the_database_does_not_hold_the_token(
    scheduler: Replica, gateway: Gateway, mongo_server: object, database_name: str
) -> None:
    enrolled = await gateway.enrol()

    [document] = mongo_server.admin[database_name]["workers"].find({"_id": enrolled.worker})  # type: ignore[attr-defined]

    assert enrolled.token not in str(document)
    assert enrolled.token.rpartition("_")[2] not in str(document)


async def test_a_worker_has_its_own_subjects_and_nobody_elses(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, nats_server: NatsServer
) -> None:
    victim = await start_worker()
    enrolled = await gateway.enrol()
    mine = enrolled.worker

    async with open_probe(nats_server, token=enrolled.token, inbox_prefix=worker_inbox(mine)) as probe:
        assert await probe.may_publish(subjects.worker_heartbeat(mine))
        assert await probe.may_subscribe(subjects.stop(mine))
        for stream in WORK_STREAMS.values():
            assert not await probe.may_publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{victim.id}")
            assert not await probe.may_publish(f"$JS.ACK.{stream}.{victim.id}.1.1.1.0.0")
            assert not await probe.may_publish(f"$JS.API.CONSUMER.CREATE.{stream}.{mine}")
        for forbidden in (
            subjects.worker_report(victim.id),
            subjects.worker_heartbeat(victim.id),
            subjects.tokens(victim.id, "job"),
            subjects.JOBS_SUBMIT,
            subjects.event("finished", "job"),
        ):
            assert not await probe.may_publish(forbidden)
        for forbidden in (
            subjects.stop(victim.id),
            subjects.live("*"),
            subjects.events_named("finished"),
            worker_inbox(victim.id) + ".>",
            "_INBOX.>",
            ">",
        ):
            assert not await probe.may_subscribe(forbidden)


async def test_a_revoked_worker_is_cut_off_and_its_jobs_go_to_others(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    job = await gateway.submit()
    await worker.start(await worker.next_order())
    other = await start_worker()
    cut = asyncio.Event()
    worker.bus.client._disconnected_cb = lambda: cut.set() or asyncio.sleep(0)

    entry = await gateway.ask(registry.REVOKE_WORKER, RevokeWorker(worker=worker.id))

    assert entry.state == "revoked"
    await asyncio.wait_for(cut.wait(), 5)
    again = await other.next_order()
    assert (again.job, again.attempt) == (job, 2)
    await other.do(again)
    assert (await gateway.job(job)).state is State.SUCCEEDED


async def test_workers_are_listed_with_what_they_are_doing(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    worker = await start_worker({"name": "alpha"}, slots=3)
    await gateway.enrol(name="beta")
    await gateway.submit()
    await worker.next_order()

    listed = (await gateway.ask(registry.LIST_WORKERS, ListWorkers())).workers

    assert [(entry.name, entry.state, entry.slots, entry.free_slots, entry.jobs) for entry in listed] == [
        ("alpha", "online", 3, 2, 1),
        ("beta", "offline", 0, 0, 0),
    ]
