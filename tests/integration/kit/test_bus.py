"""The bus on a real server: requests, faults, sizes, and what happens when the server dies."""

from __future__ import annotations

import asyncio

import pytest

from gridloom_contract import registry
from gridloom_contract.fault import Fault, FaultCode, FaultError
from gridloom_contract.fleet import KeyRevoked, ListModels, ModelList
from gridloom_contract.jobs import GetJob, Job
from gridloom_contract.streams import STREAMS
from gridloom_contract.work import StopWork
from gridloom_kit.streams import ensure_streams
from gridloom_testing.admission import admitting
from gridloom_testing.builders import a_job, a_worker_token
from gridloom_testing.plugin import OpenBus
from gridloom_testing.servers import NatsServer


async def answer_jobs(question: GetJob, _subject: str) -> Job:
    """Know one job, and fail in two ways."""
    if question.job == "broken":
        raise ZeroDivisionError
    if question.job != "known":
        raise FaultError(Fault(code=FaultCode.NOT_FOUND, message="no such job"))
    return a_job(job="known")


async def test_a_request_is_answered_with_its_type(bus_for: OpenBus) -> None:
    scheduler, gateway = await bus_for("scheduler"), await bus_for("gateway")
    await scheduler.answer(registry.GET_JOB, answer_jobs)
    await scheduler.flush()
    answer = await gateway.request(registry.GET_JOB, GetJob(job="known", account="a"))
    assert isinstance(answer, Job)


async def test_a_fault_reaches_the_caller_as_it_was(bus_for: OpenBus) -> None:
    scheduler, gateway = await bus_for("scheduler"), await bus_for("gateway")
    await scheduler.answer(registry.GET_JOB, answer_jobs)
    await scheduler.flush()
    with pytest.raises(FaultError) as raised:
        await gateway.request(registry.GET_JOB, GetJob(job="other", account="a"))
    assert raised.value.fault == Fault(code=FaultCode.NOT_FOUND, message="no such job")


async def test_a_bug_answers_internal_and_tells_nothing_else(bus_for: OpenBus) -> None:
    scheduler, gateway = await bus_for("scheduler"), await bus_for("gateway")
    await scheduler.answer(registry.GET_JOB, answer_jobs)
    await scheduler.flush()
    with pytest.raises(FaultError) as raised:
        await gateway.request(registry.GET_JOB, GetJob(job="broken", account="a"))
    assert raised.value.fault.code is FaultCode.INTERNAL
    assert "Zero" not in raised.value.fault.message


async def test_a_request_that_nobody_hears_is_unavailable_at_once(bus_for: OpenBus) -> None:
    gateway = await bus_for("gateway")
    with pytest.raises(FaultError) as raised:
        await gateway.request(registry.LIST_MODELS, ListModels(account="a"), timeout_seconds=30)
    assert raised.value.fault.code is FaultCode.UNAVAILABLE
    assert raised.value.fault.retryable


async def test_a_slow_answer_does_not_hold_up_the_next(bus_for: OpenBus) -> None:
    scheduler, gateway = await bus_for("scheduler"), await bus_for("gateway")
    first_may_answer = asyncio.Event()

    async def answer(question: ListModels, _subject: str) -> ModelList:
        if question.account == "slow":
            await first_may_answer.wait()
        return ModelList(models=())

    await scheduler.answer(registry.LIST_MODELS, answer)
    await scheduler.flush()
    async with asyncio.TaskGroup() as tasks:
        slow = tasks.create_task(gateway.request(registry.LIST_MODELS, ListModels(account="slow")))
        await gateway.request(registry.LIST_MODELS, ListModels(account="quick"))
        assert not slow.done()
        first_may_answer.set()


async def test_a_message_too_large_is_refused_here_and_the_connection_stays(bus_for: OpenBus) -> None:
    scheduler = await bus_for("scheduler")
    stop = StopWork(job="j", attempt=1, reason="x" * (scheduler.max_payload_bytes + 1))
    with pytest.raises(FaultError) as raised:
        await scheduler.publish("ctl.w1.stop", stop)
    assert raised.value.fault.code is FaultCode.TOO_LARGE
    assert str(scheduler.max_payload_bytes) in raised.value.fault.message
    await scheduler.flush()
    assert scheduler.is_connected


async def test_a_message_that_is_not_what_the_registry_says_is_dropped(bus_for: OpenBus) -> None:
    gateway = await bus_for("gateway")
    heard: asyncio.Queue[KeyRevoked] = asyncio.Queue()

    async def hear(message: KeyRevoked, _subject: str, _headers: object) -> None:
        heard.put_nowait(message)

    subject = registry.KEY_REVOKED.subject
    await gateway.subscribe(subject, KeyRevoked, hear)
    for payload in (b"", b"{", b"[" * 5000, b'{"type":"token.chunk.1"}', b'{"type":"key.revoked.1"}'):
        await gateway.client.publish(subject, payload)
    await gateway.publish(subject, KeyRevoked(kid="k"))
    assert await asyncio.wait_for(heard.get(), 5) == KeyRevoked(kid="k")
    assert heard.empty()


async def test_a_request_lost_with_the_server_fails_at_once_and_the_next_works(
    bus_for: OpenBus, nats_server: NatsServer
) -> None:
    scheduler, gateway = await bus_for("scheduler"), await bus_for("gateway")
    asked, never = asyncio.Event(), asyncio.Event()

    async def answer(question: GetJob, subject: str) -> Job:
        if question.job == "hangs":
            asked.set()
            await never.wait()
        return await answer_jobs(question, subject)

    reconnected = asyncio.Event()

    async def note() -> None:
        reconnected.set()

    scheduler.on_reconnect(note)
    await scheduler.answer(registry.GET_JOB, answer)
    await scheduler.flush()

    async def crash() -> None:
        await asked.wait()
        nats_server.restart()

    question = GetJob(job="hangs", account="a")
    lost, _ = await asyncio.wait_for(
        asyncio.gather(
            gateway.request(registry.GET_JOB, question, timeout_seconds=600), crash(), return_exceptions=True
        ),
        20,
    )
    assert isinstance(lost, FaultError)
    await asyncio.wait_for(reconnected.wait(), 10)
    assert await gateway.request(registry.GET_JOB, GetJob(job="known", account="a"))
    never.set()


async def test_an_unknown_error_of_the_server_does_not_end_the_connection(bus_for: OpenBus) -> None:
    scheduler = await bus_for("scheduler")
    back = asyncio.Event()

    async def note() -> None:
        back.set()

    scheduler.on_reconnect(note)
    await scheduler.client._process_err("'Maximum Payload Violation'")
    await asyncio.wait_for(back.wait(), 10)
    await scheduler.flush()
    assert scheduler.is_connected


async def test_a_worker_is_back_soon_after_who_lets_it_in(worker_bus: OpenBus, nats_server: NatsServer) -> None:
    async with admitting(nats_server):
        worker = await worker_bus(a_worker_token())
    nats_server.restart()
    async with asyncio.timeout(10):
        while not worker.client.is_connecting:
            await asyncio.sleep(0.01)
    async with admitting(nats_server), asyncio.timeout(1.5):  # the server would keep it waiting for two seconds
        while not worker.is_connected:
            await asyncio.sleep(0.01)


async def test_streams_are_made_once_and_again_after_the_store_is_wiped(
    bus_for: OpenBus, nats_server: NatsServer
) -> None:
    scheduler = await bus_for("scheduler")
    names = tuple(stream.name for stream in STREAMS)
    assert await ensure_streams(scheduler, STREAMS) == names
    assert await ensure_streams(scheduler, STREAMS) == ()
    back = asyncio.Event()

    async def note() -> None:
        back.set()

    scheduler.on_reconnect(note)
    nats_server.wipe_store()
    await asyncio.wait_for(back.wait(), 10)
    assert await ensure_streams(scheduler, STREAMS) == names
