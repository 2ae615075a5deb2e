"""Prompts and answers that are objects: on a real S3, behind a scripted blob service, and in front of bad clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import msgspec
import pytest

from gridloom_contract import registry
from gridloom_contract.blobs import (
    ObjectReserved,
    ObjectsPresigned,
    PresignedObject,
    PresignObjects,
    Purpose,
    ReserveObject,
)
from gridloom_contract.jobs import MAX_INLINE_BYTES, Task
from gridloom_contract.vocabulary import State
from gridloom_contract.webhooks import RenderedJob, RenderJob
from gridloom_domain.errors import RateLimited, TooLarge
from gridloom_kit.bus import Bus
from gridloom_local.servers import LOOPBACK
from gridloom_testing.clients import JOBS, ApiClient
from gridloom_testing.plugin import OpenBus
from gridloom_testing.servers import S3Server
from integration.gateway.conftest import OpenGateway
from integration.gateway.reading import reading
from integration.gateway.scripted import ScriptedScheduler
from integration.worker.objects import ObjectShelf, open_shelf

PROMPT = "Straße \u2028 \x01 " * 50_000
BODY = {"model": "m", "prompt": PROMPT}
TEXT = 'one "two" \U0001f600\u2028\n' * 40_000


@dataclass
class BlobService:
    """Gives places on a shelf. `urls` are answered instead of real ones; `refusal` is raised."""

    shelf: ObjectShelf
    orders: list[ReserveObject] = field(default_factory=list)
    urls: dict[str, str | None] = field(default_factory=dict)
    refusal: Exception | None = None

    async def open(self, bus: Bus) -> None:
        """Answer from now on."""
        await bus.answer(registry.RESERVE_OBJECT, self._on_reserve)
        await bus.answer(registry.PRESIGN_OBJECTS, self._on_presign)
        await bus.flush()

    async def _on_reserve(self, order: ReserveObject, _subject: str) -> ObjectReserved:
        if self.refusal is not None:
            raise self.refusal
        self.orders.append(order)
        ref = f"{order.purpose}-{order.job}"
        return ObjectReserved(ref=ref, upload_url=await self.shelf.put_url(ref, order.size_bytes))

    async def _on_presign(self, question: PresignObjects, _subject: str) -> ObjectsPresigned:
        [ref] = question.refs
        url = self.urls[ref] if ref in self.urls else await self.shelf.url_of(ref)
        return ObjectsPresigned(objects=(PresignedObject(ref=ref, url=url),))


@pytest.fixture
async def blobs(s3: S3Server, bus_for: OpenBus) -> AsyncIterator[BlobService]:
    async with open_shelf(s3) as shelf:
        service = BlobService(shelf)
        await service.open(await bus_for("blob"))
        yield service


async def ended_with(scheduler: ScriptedScheduler, blobs: BlobService, client: ApiClient, text: str) -> str:
    """Let a job have ended with this text as an object, and return its name."""
    name = (await client.call("POST", JOBS, {"model": "m", "prompt": "x"})).body["job_id"]
    job = name.replace("-", "")
    await blobs.shelf.store(f"output-{job}", text.encode())
    scheduler.change(job, state=State.SUCCEEDED, attempt=1, output_ref=f"output-{job}")
    return str(name)


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_large_prompt_is_stored_and_only_named_on_the_bus(
    client: ApiClient, scheduler: ScriptedScheduler, blobs: BlobService, is_chunked: bool
) -> None:
    body = msgspec.json.encode(BODY)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 10_000):
            yield body[start : start + 10_000]

    headers = {"Content-Type": "application/json"} | ({} if is_chunked else {"Content-Length": str(len(body))})
    async with client.session.post(JOBS, data=pieces(), headers=headers) as answer:
        job = (await answer.json())["job_id"].replace("-", "")

    submission = scheduler.submissions[job]
    content = await blobs.shelf.content(f"task-{job}")
    assert answer.status == 201
    assert (submission.task, submission.task_ref, submission.task_bytes) == (Task(), f"task-{job}", len(content))
    assert msgspec.json.decode(content, type=Task).prompt == PROMPT
    assert [(order.job, order.purpose) for order in blobs.orders] == [(job, Purpose.TASK)]


async def test_a_large_prompt_sent_twice_under_a_key_is_one_job(
    client: ApiClient, scheduler: ScriptedScheduler, blobs: BlobService
) -> None:
    first = await client.call("POST", JOBS, BODY, key="k")
    again = await client.call("POST", JOBS, BODY, key="k")
    other = await client.call("POST", JOBS, BODY | {"prompt": PROMPT + "!"}, key="k")

    assert (first.status, again.body, other.status) == (201, first.body, 409)
    assert len(scheduler.jobs) == len(blobs.orders) == 1


@pytest.mark.parametrize(
    ("refusal", "status"), [(TooLarge("an object may have 9 bytes"), 413), (RateLimited("too many bytes"), 429)]
)
async def test_what_the_account_may_not_keep_is_refused_as_such(
    client: ApiClient, scheduler: ScriptedScheduler, blobs: BlobService, refusal: Exception, status: int
) -> None:
    blobs.refusal = refusal

    assert (await client.call("POST", JOBS, BODY)).status == status
    assert scheduler.jobs == {}


async def test_a_large_answer_looks_like_any_other_wherever_it_is_shown(
    client: ApiClient, scheduler: ScriptedScheduler, blobs: BlobService
) -> None:
    job = await ended_with(scheduler, blobs, client, TEXT)

    shown = await client.call("GET", f"{JOBS}/{job}")
    listed = (await client.call("GET", JOBS)).body["jobs"]
    async with reading(client, job) as reader:
        done = await reader.until_done()
    async with reading(client, job, f"1-{len(TEXT) - 3}") as resumed:
        await resumed.until_done()

    assert shown.body["output"] == TEXT
    assert shown.headers["Content-Type"] == "application/json"
    assert (reader.text, done, resumed.text) == (TEXT, shown.body, TEXT[-3:])
    assert "output" not in listed[0]


async def test_an_answer_that_cannot_be_had_now_is_a_503(
    client: ApiClient, scheduler: ScriptedScheduler, blobs: BlobService
) -> None:
    job = await ended_with(scheduler, blobs, client, TEXT)
    blobs.urls[f"output-{job.replace('-', '')}"] = None

    answer = await client.call("GET", f"{JOBS}/{job}")

    assert (answer.status, answer.body["error"]) == (503, "unavailable")
    assert "Retry-After" in answer.headers


async def test_an_answer_that_breaks_off_never_looks_whole(
    client: ApiClient, scheduler: ScriptedScheduler, blobs: BlobService
) -> None:
    job = await ended_with(scheduler, blobs, client, TEXT)

    async def half(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 600000\r\n\r\n" + b"x" * 300_000)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(half, LOOPBACK, 0) as store:
        port = store.sockets[0].getsockname()[1]
        blobs.urls[f"output-{job.replace('-', '')}"] = f"http://{LOOPBACK}:{port}/"

        with pytest.raises(aiohttp.ClientPayloadError):
            await client.call("GET", f"{JOBS}/{job}")
        async with reading(client, job) as reader:
            with pytest.raises(StopAsyncIteration):
                await reader.until_done()
        broken_off = reader.text
    del blobs.urls[f"output-{job.replace('-', '')}"]

    assert set(broken_off) == {"x"}
    assert (await client.call("GET", f"{JOBS}/{job}")).body["output"] == TEXT


async def test_large_bodies_wait_for_room_and_small_ones_do_not(
    open_gateway: OpenGateway, scheduler: ScriptedScheduler, blobs: BlobService
) -> None:
    gateway = await open_gateway(large_bodies_bytes=1_000_000)
    tenant = await gateway.tenant()
    body, may_end = msgspec.json.encode(BODY), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield body[:-1]
        await may_end.wait()
        yield body[-1:]

    async with ApiClient(gateway.url, tenant.key) as client, asyncio.TaskGroup() as tasks:
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        first = tasks.create_task(_status(client, slowly(), headers))
        await asyncio.sleep(0.2)
        second = tasks.create_task(client.call("POST", JOBS, BODY))
        small = await client.call("POST", JOBS, {"model": "m", "prompt": "x"})
        await asyncio.sleep(0.2)
        waits = not second.done()
        may_end.set()

    assert small.status == 201
    assert waits
    assert (first.result(), second.result().status) == (201, 201)


async def test_a_webhook_with_a_large_answer_carries_exactly_what_get_answers(
    client: ApiClient, scheduler: ScriptedScheduler, blobs: BlobService, bus_for: OpenBus
) -> None:
    job = await ended_with(scheduler, blobs, client, TEXT)
    async with client.session.get(f"{JOBS}/{job}") as answer:
        shown = await answer.read()
    known = scheduler.jobs[job.replace("-", "")]
    question = RenderJob(job=known.job, account=known.account)

    rendered: RenderedJob = await (await bus_for("webhook")).request(registry.RENDER_JOB, question)

    assert rendered.body == b""
    assert rendered.ref == f"event-{known.job}"
    assert await blobs.shelf.content(rendered.ref) == shown
    assert len(shown) > MAX_INLINE_BYTES


async def _status(client: ApiClient, body: AsyncIterator[bytes], headers: dict[str, str]) -> int:
    async with client.session.post(JOBS, data=body, headers=headers) as answer:
        return answer.status
