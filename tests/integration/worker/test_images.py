"""Images of jobs: fetched by the worker, checked, and given to the engine as the content parts it understands."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from zlib import crc32

import pytest

from gridloom_contract.fault import FaultCode
from gridloom_contract.jobs import Task
from gridloom_contract.work import Attachment
from gridloom_kit.transfer import open_transfer
from gridloom_testing.builders import an_order
from gridloom_testing.servers import S3Server
from gridloom_worker.engines.openai_http import open_openai_http
from gridloom_worker.inputs import Inputs
from integration.worker.conftest import Employ
from integration.worker.objects import ObjectShelf, open_shelf
from integration.worker.rude_engine import GOOD_STREAM, rude_engine, streams
from integration.worker.scripted import ScriptedScheduler
from integration.worker.test_faults import of

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
JPEG = b"\xff\xd8\xff\xe0" + b"\x00\xff" * 1_000


@pytest.fixture
async def shelf(s3: S3Server) -> AsyncIterator[ObjectShelf]:
    """The object store."""
    async with open_shelf(s3) as shelf:
        yield shelf


async def stored(shelf: ObjectShelf, name: str, content: bytes, content_type: str = "image/png") -> Attachment:
    return Attachment(kind="image", url=await shelf.store(name, content), content_type=content_type)


def sight(content: bytes, content_type: str) -> str:
    return f"{content_type} of {len(content)} bytes, crc32 {crc32(content):08x}"


async def test_a_worker_sees_the_images_of_its_job_byte_for_byte(
    employ: Employ, scheduler: ScriptedScheduler, shelf: ObjectShelf
) -> None:
    worker = await employ()
    files = (await stored(shelf, "one", PNG), await stored(shelf, "two", JPEG, "image/jpeg"))
    order = await scheduler.give(worker.order("[[tokens=3]]", attachments=files))

    result = await scheduler.results.until(of(order))

    assert result.output.startswith(f"{sight(PNG, 'image/png')} {sight(JPEG, 'image/jpeg')} ")
    assert result.usage.tokens_in == 1


async def test_an_image_goes_with_a_large_task(
    employ: Employ, scheduler: ScriptedScheduler, shelf: ObjectShelf
) -> None:
    worker = await employ()
    task_url = await shelf.store("large-task", b'{"prompt":"[[tokens=2]] from afar"}')
    order = worker.order(attachments=(await stored(shelf, "one", PNG),), task_url=task_url)

    result = await scheduler.results.until(of(await scheduler.give(order)))

    assert result.output.startswith(sight(PNG, "image/png"))
    assert len(result.output.removeprefix(sight(PNG, "image/png")).split()) == 2


async def test_an_openai_engine_gets_the_image_as_a_content_part(shelf: ObjectShelf) -> None:
    order = an_order(task=Task(prompt="What is this?"), attachments=(await stored(shelf, "one", PNG),))

    async with (
        open_transfer() as transfer,
        rude_engine(chat=streams(*GOOD_STREAM)) as server,
        open_openai_http(server.url, "", ()) as engine,
    ):
        await engine.run(await Inputs(transfer, 1_000_000).complete(order), lambda _: None)

    url = f"data:image/png;base64,{b64encode(PNG).decode()}"
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    assert server.bodies[0]["messages"] == [{"role": "user", "content": parts}]


async def test_what_is_not_what_was_announced_never_reaches_the_engine(
    employ: Employ, scheduler: ScriptedScheduler, shelf: ObjectShelf
) -> None:
    worker = await employ(max_task_bytes=20_000)
    gone = Attachment(kind="image", url=await shelf.url_of("nothing"), content_type="image/png")
    page = await stored(shelf, "page", b"<!doctype html><script>")
    sound = Attachment(kind="audio", url=page.url, content_type="audio/wav")
    halves = (await stored(shelf, "half", PNG), await stored(shelf, "other half", PNG))
    orders = [await scheduler.give(worker.order(attachments=files)) for files in ((gone,), (page,), (sound,), halves)]

    faults = [(await scheduler.results.until(of(order))).fault for order in orders]

    assert [(fault.code, fault.retryable) for fault in faults] == [
        (FaultCode.UNAVAILABLE, True),
        (FaultCode.INTERNAL, True),
        (FaultCode.UNSUPPORTED_MEDIA, False),
        (FaultCode.TOO_LARGE, False),
    ]
    assert not any("http" in fault.message for fault in faults)
