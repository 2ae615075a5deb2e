"""While a job is being stored its order is on the way, and while its end is being stored who waits has the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from gridloom_contract import registry, subjects
from gridloom_contract.jobs import CancelJob, Job
from gridloom_contract.vocabulary import State
from gridloom_contract.work import Verdict
from gridloom_scheduler.chance import LeaseTokens
from gridloom_testing.builders import a_submission, an_order
from gridloom_testing.faults import TcpProxy, tcp_proxy
from integration.scheduler.conftest import Replica, SettingsFor, StartScheduler, StartWorker
from integration.scheduler.scripted import ACCOUNT, Gateway, ScriptedWorker

pytestmark = pytest.mark.usefixtures("empty_streams")

WAITER = "g1"
PATIENCE_SECONDS = 10.0


class Line:
    """The line to MongoDB, through a proxy in a loop of its own: a client that closes blocks the test's loop."""

    def __init__(self, proxy: TcpProxy, loop: asyncio.AbstractEventLoop) -> None:
        self.port = proxy.port
        self._proxy = proxy
        self._loop = loop

    def go_silent(self) -> None:
        """Let nothing pass from now on."""
        asyncio.run_coroutine_threadsafe(self._do(self._proxy.go_silent), self._loop).result()

    def speak_again(self) -> None:
        """Let everything pass."""
        asyncio.run_coroutine_threadsafe(self._do(self._proxy.speak_again), self._loop).result()

    async def _do(self, what: Callable[[], None]) -> None:
        what()


@pytest.fixture
def line(scheduler_settings: SettingsFor) -> Iterator[Line]:
    """The line from the scheduler to MongoDB, which a test may silence."""
    port = urlsplit(scheduler_settings().mongo_url).port or 0
    opened: Future[Line] = Future()
    closing: Future[asyncio.Event] = Future()

    async def serve() -> None:
        close = asyncio.Event()
        async with tcp_proxy(port) as proxy:
            opened.set_result(Line(proxy, asyncio.get_running_loop()))
            closing.set_result(close)
            await close.wait()

    with ThreadPoolExecutor(1) as threads:
        serving = threads.submit(asyncio.run, serve())
        line = opened.result()
        yield line
        line._loop.call_soon_threadsafe(closing.result().set)
        serving.result()


@pytest.fixture
async def scheduler(line: Line, start_scheduler: StartScheduler, scheduler_settings: SettingsFor) -> Replica:
    """A scheduler behind that line, which outlives it."""
    usual = urlsplit(scheduler_settings().mongo_url)
    url = usual._replace(netloc=usual.netloc.replace(f":{usual.port}", f":{line.port}"))
    direct = url.geturl().replace("replicaSet=", "directConnection=true&appname=")
    return await start_scheduler(mongo_url=direct)


@pytest.fixture
async def worker(scheduler: Replica, gateway: Gateway, start_worker: StartWorker) -> ScriptedWorker:
    """A worker with one slot that gets a job at once: nothing about its model need be looked up any more."""
    await gateway.until_answered()
    worker = await start_worker()
    async with asyncio.timeout(PATIENCE_SECONDS):
        is_given_at_once = False
        while not is_given_at_once:
            [accepted] = await gateway.try_submit(a_submission())
            is_given_at_once = accepted.worker == worker.id
            await worker.do(await worker.next_order())
    return worker


@pytest.fixture
async def told(gateway: Gateway) -> asyncio.Queue[Job]:
    """The ends that the gateway is told."""
    ends: asyncio.Queue[Job] = asyncio.Queue()

    async def on_end(job: Job, _subject: str, _headers: Mapping[str, str]) -> None:
        ends.put_nowait(job)

    await gateway.bus.subscribe(subjects.ended(WAITER, "*"), Job, on_end)
    await gateway.bus.flush()
    return ends


async def test_an_order_goes_out_while_its_job_is_being_stored(
    worker: ScriptedWorker, gateway: Gateway, line: Line
) -> None:
    line.go_silent()
    async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as tasks:
        submitting = tasks.create_task(gateway.submit())
        order = await worker.next_order()
        ending = tasks.create_task(worker.end(order))
        assert not submitting.done()
        line.speak_again()

    assert ending.result().results == (Verdict.RECORDED,)
    job = await gateway.job(submitting.result())
    assert (job.state, job.attempt) == (State.SUCCEEDED, 1)


async def test_who_waits_has_the_answer_while_the_end_is_being_stored(
    worker: ScriptedWorker, gateway: Gateway, line: Line, told: asyncio.Queue[Job]
) -> None:
    job = await gateway.submit(waiter=WAITER)
    order = await worker.next_order()
    line.go_silent()
    async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as tasks:
        ending = tasks.create_task(worker.end(order, output="Hello!"))
        end = await told.get()
        asking = tasks.create_task(gateway.job(job))
        canceling = tasks.create_task(gateway.ask(registry.CANCEL_JOB, CancelJob(job=job, account=ACCOUNT)))
        assert not ending.done()
        line.speak_again()

    assert (end.state, end.output) == (State.SUCCEEDED, "Hello!")
    assert ending.result().results == (Verdict.RECORDED,)
    assert [asking.result().state, canceling.result().state] == [State.SUCCEEDED] * 2
    assert told.empty()


async def test_the_next_job_of_who_has_the_answer_finds_the_slot_free(
    worker: ScriptedWorker, gateway: Gateway, line: Line, told: asyncio.Queue[Job]
) -> None:
    await gateway.submit(waiter=WAITER)
    order = await worker.next_order()
    line.go_silent()
    async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as tasks:
        tasks.create_task(worker.end(order))
        await told.get()
        submitting = tasks.create_task(gateway.submit(waiter=WAITER))
        following = await worker.next_order()
        line.speak_again()

    await worker.end(following)
    assert (await told.get()).job == following.job == submitting.result()


async def test_a_job_that_was_ordered_but_not_stored_is_the_same_when_it_is_handed_in_again(
    worker: ScriptedWorker, gateway: Gateway, scheduler_settings: SettingsFor
) -> None:
    # As a scheduler leaves it that dies after it has sent the order, and before the job is stored.
    submission = a_submission()
    token = LeaseTokens(scheduler_settings().lease_secret).of(submission.account, submission.job, 1, worker.id)
    order = an_order(job=submission.job, worker=worker.id, attempt=1, token=token)

    assert (await worker.end(order)).results == (Verdict.LATER,)
    await gateway.insist(submission)
    assert (await worker.end(order)).results == (Verdict.RECORDED,)

    job = await gateway.job(submission.job)
    assert (job.state, job.attempt) == (State.SUCCEEDED, 1)
