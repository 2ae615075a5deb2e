"""A job's stream: the same text for a reader that comes early, late, twice, or from another attempt."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from gridloom_contract import events, subjects
from gridloom_contract.jobs import GetJob
from gridloom_contract.vocabulary import State
from gridloom_contract.work import TokenChunk
from gridloom_domain import ids
from gridloom_kit.bus import Bus
from gridloom_testing.builders import a_worker_id, a_worker_token
from gridloom_testing.clients import JOBS, ApiClient
from gridloom_testing.plugin import OpenBus
from gridloom_testing.servers import NatsServer
from integration.gateway.conftest import OpenGateway, RunningGateway, Tenant
from integration.gateway.reading import reading
from integration.gateway.scripted import ScriptedScheduler, Speaker


class Scene:
    """A submitted job and a worker that has it."""

    def __init__(self, scheduler: ScriptedScheduler, worker_bus: OpenBus, client: ApiClient) -> None:
        self.scheduler = scheduler
        self.worker_bus = worker_bus
        self.client = client
        self.name = ""
        self.job = ""

    async def submit(self) -> None:
        """Submit the job."""
        self.name = await self.client.submit()
        self.job = ids.from_uuid(self.name)

    async def hand_to(self, worker: str, attempt: int = 1) -> Speaker:
        """Assign the job to a worker, have it started, and return the worker's voice."""
        bus = await self.worker_bus(a_worker_token(worker))
        await self.scheduler.assign(self.job, worker, attempt)
        await self.scheduler.start(self.job)
        await self.scheduler.bus.flush()
        return Speaker(bus, worker, self.job, attempt)


@pytest.fixture
async def scene(scheduler: ScriptedScheduler, worker_bus: OpenBus, client: ApiClient, admission: None) -> Scene:
    """A waiting job."""
    scene = Scene(scheduler, worker_bus, client)
    await scene.submit()
    return scene


async def test_a_reader_from_the_start_sees_every_state_and_word_and_then_the_document(scene: Scene) -> None:
    async with reading(scene.client, scene.name) as reader:
        await reader.until_status("pending")
        speaker = await scene.hand_to(a_worker_id())
        await speaker.say("Hello", " ", "wörld", " \u2028", "🙂")
        await reader.until_text("Hello wörld \u2028🙂")
        await scene.scheduler.succeed(scene.job, "Hello wörld \u2028🙂!")

        document = await reader.until_done()

    assert reader.statuses == ["pending", "claimed", "running"]
    assert reader.text == document["output"] == "Hello wörld \u2028🙂!"
    assert reader.resets == 0
    assert reader.last_id == f"1-{len(reader.text)}"


async def test_a_late_reader_gets_what_was_said_before_it_came(scene: Scene) -> None:
    speaker = await scene.hand_to(a_worker_id())
    await speaker.say(*(f"{number} " for number in range(1500)))
    said = "".join(f"{number} " for number in range(1500))

    async with reading(scene.client, scene.name) as reader:
        await reader.until_text(said)
        await speaker.say("and on")
        await reader.until_text(said + "and on")

    assert reader.resets == 0


async def test_a_reader_after_the_end_gets_the_stored_text(scene: Scene) -> None:
    await scene.hand_to(a_worker_id())
    await scene.scheduler.succeed(scene.job, "the whole text")

    async with reading(scene.client, scene.name) as reader:
        document = await reader.until_done()

    assert (reader.text, document["status"]) == ("the whole text", "completed")


async def test_a_job_that_fails_leaves_its_last_words_to_its_readers_and_to_late_ones(scene: Scene) -> None:
    async with reading(scene.client, scene.name) as reader:
        await reader.until_status("pending")
        speaker = await scene.hand_to(a_worker_id())
        await speaker.say("the last", " words")
        scene.scheduler.change(scene.job, state=State.FAILED)
        known = scene.scheduler.jobs[scene.job]
        ending = {"state": State.FAILED, "key": known.key, "model": known.model, "dialect": known.dialect}
        await scene.scheduler.tell(scene.job, events.JobFinished, attempt=1, **ending)
        await reader.until_done()
    async with reading(scene.client, scene.name) as late:
        document = await late.until_done()

    assert (document["status"], reader.text, late.text) == ("failed", "the last words", "the last words")
    assert reader.resets == late.resets == 0


async def test_who_waits_ends_with_what_its_gateway_is_told_and_nobody_is_asked(
    scheduler: ScriptedScheduler, client: ApiClient
) -> None:
    chat = {"model": "m", "messages": [{"role": "user", "content": "Hello?"}]}
    async with asyncio.TaskGroup() as tasks:
        whole = tasks.create_task(client.call("POST", "/v1/chat/completions", chat))
        job = await scheduler.awaited()
        body = '{"choices":[{"index":0,"message":{"role":"assistant","content":"Hello!"},"finish_reason":"stop"}]}'
        told = msgspec.structs.replace(scheduler.jobs[job], state=State.SUCCEEDED, output=body)  # to others it waits
        await scheduler.bus.publish(subjects.ended(scheduler.submissions[job].waiter or "", job), told)

    assert whole.result().body["choices"][0]["message"]["content"] == "Hello!"
    assert not [asked for asked in scheduler.asked if isinstance(asked, GetJob)]


async def test_a_reader_ends_with_what_its_gateway_is_told_and_nobody_is_asked_again(scene: Scene) -> None:
    async with reading(scene.client, scene.name) as reader:
        await reader.until_status("pending")
        [asked] = [asked for asked in scene.scheduler.asked if isinstance(asked, GetJob)]
        known = scene.scheduler.jobs[scene.job]
        told = msgspec.structs.replace(known, state=State.SUCCEEDED, output="Hello!")  # to others it waits
        await scene.scheduler.bus.publish(subjects.ended(asked.waiter or "", scene.job), told)
        document = await reader.until_done()

    assert (reader.text, document["output"], document["status"]) == ("Hello!", "Hello!", "completed")
    assert [asked for asked in scene.scheduler.asked if isinstance(asked, GetJob)] == [asked]


async def test_a_reader_resumes_where_it_was_cut_off(scene: Scene) -> None:
    speaker = await scene.hand_to(a_worker_id())
    await speaker.say("one ", "two ")
    async with reading(scene.client, scene.name) as before:
        await before.until_text("one two ")
    await speaker.say("three ")

    async with reading(scene.client, scene.name, before.last_id) as after:
        await after.until_text("three ")
        await scene.scheduler.succeed(scene.job, "one two three four")
        await after.until_done()

    assert (after.text, after.resets) == ("three four", 0)


async def test_a_reader_resumes_after_the_end(scene: Scene) -> None:
    speaker = await scene.hand_to(a_worker_id())
    await speaker.say("one ", "two ")
    async with reading(scene.client, scene.name) as before:
        await before.until_text("one two ")
    await scene.scheduler.succeed(scene.job, "one two three")

    async with reading(scene.client, scene.name, before.last_id) as after:
        await after.until_done()

    assert (after.text, after.resets) == ("three", 0)


async def test_a_reader_of_an_attempt_that_was_lost_starts_over(scene: Scene) -> None:
    speaker = await scene.hand_to(a_worker_id())
    async with reading(scene.client, scene.name) as reader:
        await speaker.say("a false start")
        await reader.until_text("a false start")
        scene.scheduler.change(scene.job, state=State.QUEUED, worker=None)
        await scene.scheduler.tell(scene.job, events.JobRequeued, reason="lease_lost", attempt=1)
        await reader.until_status("pending")
        second = await scene.hand_to(a_worker_id(), attempt=2)
        await speaker.say(" that goes on")
        await second.say("the right words")
        await reader.until_text("the right words")
        await scene.scheduler.succeed(scene.job, "the right words.")
        await reader.until_done()

    assert (reader.text, reader.resets) == ("the right words.", 1)


async def test_a_reader_that_resumes_into_another_attempt_is_told_to_start_over(scene: Scene) -> None:
    speaker = await scene.hand_to(a_worker_id(), attempt=2)
    await speaker.say("second")

    async with reading(scene.client, scene.name, "1-40") as reader:
        await reader.until_text("second")

    assert reader.resets == 1


async def test_words_of_a_stranger_are_never_shown(scene: Scene) -> None:
    speaker = await scene.hand_to(a_worker_id())
    stranger = a_worker_id()
    bus = await scene.worker_bus(a_worker_token(stranger))
    async with reading(scene.client, scene.name) as reader:
        await speaker.say("true ")
        await reader.until_text("true ")
        for attempt in (1, 2, 99):
            chunk = TokenChunk(job=scene.job, attempt=attempt, offset=5, text="LIES")
            await bus.publish(subjects.tokens(stranger, scene.job), chunk)
        await bus.flush()
        await speaker.say("words")
        await reader.until_text("true words")
        await scene.scheduler.succeed(scene.job, "true words")
        await reader.until_done()

    assert (reader.text, reader.resets) == ("true words", 0)


async def test_a_worker_that_was_not_announced_is_believed_once_the_scheduler_says_so(scene: Scene) -> None:
    worker = a_worker_id()
    bus = await scene.worker_bus(a_worker_token(worker))
    async with reading(scene.client, scene.name) as reader:
        await reader.until_status("pending")
        scene.scheduler.change(scene.job, state=State.RUNNING, worker=worker, attempt=1)
        await Speaker(bus, worker, scene.job).say("unannounced", " but true")

        await reader.until_text("unannounced but true")


async def test_a_lost_word_is_taken_from_the_result(scene: Scene) -> None:
    speaker = await scene.hand_to(a_worker_id())
    async with reading(scene.client, scene.name) as reader:
        await speaker.say("one ")
        await reader.until_text("one ")
        speaker.mumble("two ")
        await speaker.say("three")
        await scene.scheduler.succeed(scene.job, "one two three")
        await reader.until_done()

    assert (reader.text, reader.resets) == ("one two three", 0)


async def test_a_result_that_contradicts_the_stream_replaces_it(scene: Scene) -> None:
    speaker = await scene.hand_to(a_worker_id())
    async with reading(scene.client, scene.name) as reader:
        await speaker.say("draft")
        await reader.until_text("draft")
        await scene.scheduler.succeed(scene.job, "final")
        await reader.until_done()

    assert (reader.text, reader.resets) == ("final", 1)


async def test_a_stream_goes_on_after_nats_was_restarted(scene: Scene, nats_server: NatsServer) -> None:
    speaker = await scene.hand_to(a_worker_id())
    async with reading(scene.client, scene.name) as reader:
        await speaker.say("before ")
        await reader.until_text("before ")
        nats_server.restart()
        await _until_connected(scene.scheduler.bus)
        await scene.scheduler.succeed(scene.job, "before and after")

        await reader.until_done()

    assert (reader.text, reader.resets) == ("before and after", 0)


async def _until_connected(bus: Bus) -> None:
    async with asyncio.timeout(10):
        while not bus.is_connected:
            await asyncio.sleep(0.05)


async def test_a_lost_ending_is_found_by_asking_again(open_gateway: OpenGateway, scene: Scene, tenant: Tenant) -> None:
    gateway = await open_gateway(stream_recheck_seconds=1.0)
    async with ApiClient(gateway.url, tenant.key) as client, reading(client, scene.name) as reader:
        await reader.until_status("pending")
        scene.scheduler.change(scene.job, state=State.SUCCEEDED, attempt=1, output="found")

        await reader.until_done()

    assert reader.text == "found"


async def test_a_silent_stream_is_kept_open_by_comments(
    open_gateway: OpenGateway, scene: Scene, tenant: Tenant
) -> None:
    gateway = await open_gateway(stream_heartbeat_seconds=1.0)
    path = f"{JOBS}/{scene.name}/stream"
    async with ApiClient(gateway.url, tenant.key) as client, client.session.get(path) as answer, asyncio.timeout(5):
        assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["X-Accel-Buffering"] == "no"
        while (line := await answer.content.readline()) != b":\n":
            assert line


async def test_streams_end_when_the_gateway_stops_and_go_on_at_another_one(
    open_gateway: OpenGateway, scene: Scene, tenant: Tenant, client: ApiClient
) -> None:
    first = await open_gateway()
    speaker = await scene.hand_to(a_worker_id())
    async with ApiClient(first.url, tenant.key) as reached, reading(reached, scene.name) as reader:
        await speaker.say("one ")
        await reader.until_text("one ")
        first.stop.set()
        with pytest.raises(StopAsyncIteration):
            await reader.next()
    await speaker.say("two")

    async with reading(client, scene.name, reader.last_id) as other:
        await other.until_text("two")


async def test_a_reader_that_leaves_costs_nothing_any_more(
    scene: Scene, gateway: RunningGateway, nats_server: NatsServer
) -> None:
    subjects_of = f"live.{scene.job}"
    async with reading(scene.client, scene.name) as reader:
        await reader.until_status("pending")
        assert await _is_subscribed(nats_server, subjects_of)

    async with asyncio.timeout(5):
        while await _is_subscribed(nats_server, subjects_of):
            await asyncio.sleep(0.05)


async def _is_subscribed(nats_server: NatsServer, subject: str) -> bool:
    page = await nats_server.monitor("connz?subs=1&limit=100")
    return any(subject in connection.get("subscriptions_list", ()) for connection in page["connections"])


async def test_the_stream_of_another_account_is_not_found(scene: Scene, gateway: RunningGateway) -> None:
    stranger = await gateway.tenant()
    async with ApiClient(gateway.url, stranger.key) as client:
        answer = await client.call("GET", f"{JOBS}/{scene.name}/stream")

    assert (answer.status, answer.body["error"]) == (404, "not_found")
