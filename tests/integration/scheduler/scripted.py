"""A worker that does on the real bus exactly what a test says, and a gateway that asks the real scheduler."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from gridloom_contract import registry, subjects
from gridloom_contract.events import JobEvent
from gridloom_contract.fault import FaultCode, FaultError
from gridloom_contract.fleet import EnrolWorker, ListWorkers, WorkerEnrolled
from gridloom_contract.jobs import Acceptance, GetJob, GetTimeline, Job, Submission, SubmitJobs
from gridloom_contract.streams import LANES
from gridloom_contract.vocabulary import State
from gridloom_contract.work import (
    Holding,
    ModelSpeed,
    Offer,
    ReportReceipt,
    ResultReport,
    StartReport,
    StopWork,
    Welcome,
    WorkerControl,
    WorkerHeartbeat,
    WorkerHello,
    WorkOrder,
    WorkReport,
)
from gridloom_kit.bus import Bus
from gridloom_testing.builders import a_result, a_submission, an_offer
from gridloom_testing.holding import Holder

ACCOUNT = "acc1"
_BEAT_SECONDS = 0.2
_POLL_SECONDS = 0.02
_WITHIN_SECONDS = 20.0


class ScriptedWorker:
    """One worker process: it says hello when asked and when it is connected again, beats, takes its orders, and reports
    what the test says.
    """

    def __init__(self, bus: Bus, worker: str, *, slots: int = 1, offers: tuple[Offer, ...] = (an_offer(),)) -> None:
        self.bus = bus
        self.id = worker
        self.slots = slots
        self.offers = offers
        self.session = secrets.token_hex(8)
        self.speeds: tuple[ModelSpeed, ...] = ()
        self.orders: asyncio.Queue[WorkOrder] = asyncio.Queue()
        self.stops: asyncio.Queue[StopWork] = asyncio.Queue()
        self.controls: asyncio.Queue[str] = asyncio.Queue()
        self.holding: dict[str, Holding] = {}
        self.is_silent = False
        self.loses_orders = False
        self.lost: asyncio.Queue[Msg] = asyncio.Queue()
        self._holder = Holder()
        self._beats = asyncio.Semaphore(0)

    async def arrive(self) -> Welcome:
        """Say hello and begin to beat and to take orders."""
        await self.bus.subscribe(subjects.control(self.id), WorkerControl, self._on_control)
        await self.bus.subscribe(subjects.stop(self.id), StopWork, self._on_stop)
        for lane in LANES:
            await self.bus.client.subscribe(subjects.order(self.id, lane), cb=self._on_order)
        welcome = await self.hello()
        self.bus.on_reconnect(self._hello_soon)
        await self._holder.open(under_way(self._beat()))
        return welcome

    async def hello(self) -> Welcome:
        """Introduce itself, again and again until somebody answers."""
        hello = WorkerHello(
            worker=self.id,
            session=self.session,
            slots=self.slots,
            offers=self.offers,
            version="0.1.0",
            engine="scripted",
        )
        return await self._insist(registry.HELLO, hello, subjects.worker_hello(self.id))

    async def reborn(self) -> None:
        """Crash and come back as another process that knows of nothing."""
        self.session = secrets.token_hex(8)
        self.holding.clear()
        await self.hello()

    async def beaten(self, times: int) -> None:
        """Return once so many more heartbeats have been sent and the server has seen them."""
        self._beats = asyncio.Semaphore(0)
        for _ in range(times):
            await self._beats.acquire()
        await self.bus.flush()

    async def leave(self) -> None:
        """End without a word, as kill -9 does."""
        await self._holder.__aexit__(None, None, None)
        with suppress(OSError):  # a revoked worker's line is cut already
            await self.bus.client.close()

    async def next_order(self, within_seconds: float = _WITHIN_SECONDS) -> WorkOrder:
        """Return the next order that arrives."""
        async with asyncio.timeout(within_seconds):
            return await self.orders.get()

    async def start(self, order: WorkOrder, **changes: Any) -> ReportReceipt:
        """Report that the engine has the order."""
        return await self.report(started=(msgspec.structs.replace(self.start_of(order), **changes),))

    def start_of(self, order: WorkOrder) -> StartReport:
        """Return the report that the engine has the order."""
        return StartReport(job=order.job, attempt=order.attempt, token=order.token)

    async def end(self, order: WorkOrder, **changes: Any) -> ReportReceipt:
        """Report how the order ended; well, unless told otherwise."""
        receipt = await self.report(results=(a_result(order, **changes),))
        self.holding.pop(order.job, None)
        return receipt

    async def report(
        self, started: tuple[StartReport, ...] = (), results: tuple[ResultReport, ...] = ()
    ) -> ReportReceipt:
        """Report until somebody gives a receipt."""
        report = WorkReport(worker=self.id, session=self.session, started=started, results=results)
        return await self._insist(registry.REPORT, report, subjects.worker_report(self.id))

    async def do(self, order: WorkOrder) -> None:
        """Start and end an order."""
        await self.start(order)
        await self.end(order)

    async def toil(self) -> None:
        """Do every order that comes, until canceled."""
        while True:
            await self.do(await self.orders.get())

    async def _insist(self, channel: registry.Channel, message: Any, subject: str) -> Any:
        async with asyncio.timeout(_WITHIN_SECONDS):
            while True:
                try:
                    return await self.bus.request(channel, message, subject=subject, timeout_seconds=1.0)
                except FaultError as error:
                    if error.fault.code is not FaultCode.UNAVAILABLE:
                        raise
                    await asyncio.sleep(_POLL_SECONDS)

    async def _hello_soon(self) -> None:
        self.bus.tasks.create_task(self.hello())

    async def _beat(self) -> None:
        while True:
            if not self.is_silent:
                await self.bus.publish(subjects.worker_heartbeat(self.id), self._heartbeat())
                self._beats.release()
            await asyncio.sleep(_BEAT_SECONDS)

    def _heartbeat(self) -> WorkerHeartbeat:
        return WorkerHeartbeat(
            worker=self.id,
            session=self.session,
            free_slots=self.slots - len(self.holding),
            holding=tuple(self.holding.values()),
            speeds=self.speeds,
            loaded=tuple(offer.model for offer in self.offers if offer.loaded),
        )

    async def _on_order(self, received: Msg) -> None:
        if self.loses_orders:
            self.lost.put_nowait(received)
            return
        order = msgspec.json.decode(received.data, type=WorkOrder)
        await self.bus.client.publish(received.reply, b"+ACK")
        self.holding[order.job] = Holding(job=order.job, attempt=order.attempt)
        self.orders.put_nowait(order)

    async def _on_stop(self, stop: StopWork, _subject: str, _headers: Mapping[str, str]) -> None:
        self.holding.pop(stop.job, None)
        self.stops.put_nowait(stop)

    async def _on_control(self, control: WorkerControl, _subject: str, _headers: Mapping[str, str]) -> None:
        self.controls.put_nowait(control.order)
        if control.order == "hello":
            await self.hello()


@asynccontextmanager
async def under_way(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Have endless work done for as long as the block runs; it may break off when its connection is cut."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(_until_cut(work))
        yield
        task.cancel()


async def _until_cut(work: Coroutine[Any, Any, None]) -> None:
    with suppress(NatsError):
        await work


@asynccontextmanager
async def toiling(*workers: ScriptedWorker) -> AsyncIterator[None]:
    """Have the workers do every order that comes."""
    async with asyncio.TaskGroup() as tasks:
        toils = [tasks.create_task(worker.toil()) for worker in workers]
        yield
        for toil in toils:
            toil.cancel()


class Gateway:
    """Asks the scheduler as the gateway does."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus

    async def ask(self, channel: registry.Channel, message: Any) -> Any:
        """Return the scheduler's answer."""
        return await self.bus.request(channel, message, timeout_seconds=10.0)

    async def until_answered(self) -> None:
        """Return once some scheduler answers."""
        async with asyncio.timeout(_WITHIN_SECONDS):
            while True:
                try:
                    await self.bus.request(registry.LIST_WORKERS, ListWorkers(), timeout_seconds=1.0)
                    return
                except FaultError:
                    await asyncio.sleep(_POLL_SECONDS)

    async def enrol(self, name: str = "box", **fields: Any) -> WorkerEnrolled:
        """Make a worker identity."""
        enrolled: WorkerEnrolled = await self.ask(registry.ENROL_WORKER, EnrolWorker(name=name, **fields))
        return enrolled

    async def try_submit(self, *submissions: Submission) -> tuple[Acceptance, ...]:
        """Submit jobs and return what became of each."""
        outcomes: tuple[Acceptance, ...] = (await self.ask(registry.SUBMIT_JOBS, SubmitJobs(jobs=submissions))).outcomes
        return outcomes

    async def insist(self, *submissions: Submission) -> None:
        """Submit jobs, again and again until somebody answers; all must be accepted."""
        async with asyncio.timeout(_WITHIN_SECONDS):
            while True:
                try:
                    outcomes = await self.try_submit(*submissions)
                except FaultError:
                    await asyncio.sleep(_POLL_SECONDS)
                    continue
                assert all(outcome.fault is None for outcome in outcomes)
                return

    async def submit(self, **changes: Any) -> str:
        """Submit one job, which must be accepted, and return its id."""
        submission = a_submission(**changes)
        [outcome] = await self.try_submit(submission)
        assert outcome.fault is None, outcome.fault
        return submission.job

    async def job(self, job: str, account: str = ACCOUNT) -> Job:
        """Return the job."""
        found: Job = await self.ask(registry.GET_JOB, GetJob(job=job, account=account))
        return found

    async def until(self, job: str, *states: State, within_seconds: float = _WITHIN_SECONDS) -> Job:
        """Return the job once it is in one of these states."""
        async with asyncio.timeout(within_seconds):
            while (found := await self.job(job)).state not in states:
                await asyncio.sleep(_POLL_SECONDS)
        return found

    async def timeline(self, job: str, account: str = ACCOUNT) -> tuple[JobEvent, ...]:
        """Return everything that happened to the job."""
        events: tuple[JobEvent, ...] = (
            await self.ask(registry.GET_TIMELINE, GetTimeline(job=job, account=account))
        ).events
        return events


def names_of(facts: tuple[JobEvent, ...]) -> list[str]:
    """Return the facts as the second word of their tags: accepted, assigned, …"""
    return [str(type(fact).__struct_config__.tag).split(".")[1] for fact in facts]
