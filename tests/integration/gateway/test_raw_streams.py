"""The stream of a raw job in an API that shows text: its frames' text, from whichever source it comes."""

from __future__ import annotations

import msgspec
import pytest

from gridloom_contract import registry
from gridloom_contract.jobs import Task
from gridloom_contract.streams import TOKENS
from gridloom_contract.webhooks import RenderJob
from gridloom_domain import ids
from gridloom_domain.completions import Json, fold, line_of
from gridloom_testing.builders import a_worker_id, a_worker_token
from gridloom_testing.clients import ApiClient
from gridloom_testing.plugin import OpenBus
from integration.gateway.reading import reading
from integration.gateway.scripted import ScriptedScheduler, Speaker


def frame(content: str | None, finish: str | None = None) -> Json:
    return {"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": finish}]}


FRAMES = [
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]},
    *map(frame, ("Nile", ", ", "Amazön", " \u2028🙂")),
    frame(None, "stop"),
    {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}},
]
LINES = [line_of(one) for one in FRAMES]
TEXT = "Nile, Amazön \u2028🙂"
BODY = msgspec.json.encode(fold(FRAMES)).decode()


class Scene:
    """A raw job that is running, and its worker's voice."""

    def __init__(self, client: ApiClient, scheduler: ScriptedScheduler, name: str, speaker: Speaker) -> None:
        self.client = client
        self.scheduler = scheduler
        self.name = name
        self.job = ids.from_uuid(name)
        self.speaker = speaker

    async def succeed(self, body: str = BODY) -> None:
        """End the job with this answer."""
        self.scheduler.change(self.job, streamed_characters=sum(map(len, LINES)))
        await self.scheduler.succeed(self.job, body)


@pytest.fixture
async def scene(scheduler: ScriptedScheduler, worker_bus: OpenBus, client: ApiClient, admission: None) -> Scene:
    """A job that another API took in, raw, and a worker has."""
    name = await client.submit()
    job = ids.from_uuid(name)
    scheduler.change(job, task=Task(raw={"messages": []}), dialect="openai")
    worker = a_worker_id()
    bus = await worker_bus(a_worker_token(worker))
    await scheduler.assign(job, worker)
    await scheduler.start(job)
    await scheduler.bus.flush()
    return Scene(client, scheduler, name, Speaker(bus, worker, job))


async def test_a_reader_sees_the_text_of_the_frames_and_then_the_document(scene: Scene) -> None:
    async with reading(scene.client, scene.name) as reader:
        await reader.until_status("running")
        await scene.speaker.say(*LINES[:3])
        await reader.until_text("Nile, ")
        await scene.speaker.say(*LINES[3:])
        await reader.until_text(TEXT)
        await scene.succeed()
        document = await reader.until_done()
    assert document["output"] == reader.text == TEXT
    assert reader.resets == 0
    assert reader.last_id == f"1-{sum(map(len, LINES))}-{len(TEXT)}"


async def test_chunks_may_end_within_a_frame(scene: Scene) -> None:
    stream = "".join(LINES)
    async with reading(scene.client, scene.name) as reader:
        await reader.until_status("running")
        await scene.speaker.say(*(stream[start : start + 11] for start in range(0, len(stream), 11)))
        await reader.until_text(TEXT)


async def test_a_reader_resumes_between_two_frames(scene: Scene) -> None:
    await scene.speaker.say(*LINES[:3])
    async with reading(scene.client, scene.name) as first:
        await first.until_text("Nile, ")
    await scene.speaker.say(*LINES[3:])
    async with reading(scene.client, scene.name, last_event_id=first.last_id) as again:
        await again.until_text("Amazön \u2028🙂")
        await scene.succeed()
        await again.until_done()
    assert again.text == "Amazön \u2028🙂"


async def test_a_reader_after_the_end_gets_what_the_token_stream_still_has(scene: Scene) -> None:
    await scene.speaker.say(*LINES)
    await scene.succeed()
    async with reading(scene.client, scene.name) as reader:
        await reader.until_done()
    assert reader.text == TEXT
    assert reader.last_id == f"1-{sum(map(len, LINES))}-{len(TEXT)}"


async def test_where_the_frames_are_gone_the_stored_answer_tells_the_rest(scene: Scene) -> None:
    await scene.speaker.say(*LINES[:2])
    async with reading(scene.client, scene.name) as first:
        await first.until_text("Nile")
    await scene.scheduler.bus.js_api(f"STREAM.PURGE.{TOKENS}")
    await scene.succeed()
    async with reading(scene.client, scene.name, last_event_id=first.last_id) as again:
        await again.until_done()
    assert again.text == TEXT.removeprefix("Nile")
    async with reading(scene.client, scene.name, last_event_id=again.last_id) as third:
        await third.until_done()
    assert (third.text, third.resets) == ("", 0)


async def test_an_answer_that_contradicts_its_frames_replaces_them(scene: Scene) -> None:
    async with reading(scene.client, scene.name) as reader:
        await reader.until_status("running")
        await scene.speaker.say(*LINES)
        await reader.until_text(TEXT)
        await scene.succeed('{"choices":[{"index":0,"message":{"content":"Danube"},"finish_reason":"stop"}]}')
        document = await reader.until_done()
    assert (reader.text, reader.resets, document["output"]) == ("Danube", 1, "Danube")


async def test_a_document_and_a_webhook_show_the_text_of_the_answer(scene: Scene, bus_for: OpenBus) -> None:
    await scene.succeed()
    document = await scene.client.job(scene.name)
    account = scene.scheduler.jobs[scene.job].account
    question = RenderJob(job=scene.job, account=account, format="native")
    rendered = await (await bus_for("webhook")).request(registry.RENDER_JOB, question)
    assert document["output"] == TEXT
    assert msgspec.json.decode(rendered.body)["output"] == TEXT
