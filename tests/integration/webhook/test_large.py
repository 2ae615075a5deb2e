"""A body too large for the bus is an object: fetched for each attempt, and sent like any other."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from standardwebhooks.webhooks import Webhook

from gridloom_contract import registry
from gridloom_contract.blobs import ObjectsPresigned, PresignedObject, PresignObjects
from gridloom_contract.registry import BLOB
from gridloom_contract.webhooks import DeliveryState
from gridloom_testing.plugin import OpenBus
from integration.webhook.conftest import Scene
from integration.webhook.receivers import ok, status
from unit.webhook.facts import API_KEY, an_acceptance, an_end

BODY = b'{"output":"' + b"x" * 20_000_000 + b'"}'
REF = "acc1/job/r1"


@pytest.fixture
async def blobs(bus_for: OpenBus) -> AsyncIterator[dict[str, bytes]]:
    """A blob service with these objects, by ref."""
    objects: dict[str, bytes] = {REF: BODY}
    runner = web.AppRunner(app := web.Application())

    async def get(request: web.Request) -> web.Response:
        return web.Response(body=objects[request.query["ref"]])

    async def presign(question: PresignObjects, _subject: str) -> ObjectsPresigned:
        port = runner.addresses[0][1]
        urls = {ref: f"http://127.0.0.1:{port}/?ref={ref}" if ref in objects else None for ref in question.refs}
        return ObjectsPresigned(objects=tuple(PresignedObject(ref=ref, url=url) for ref, url in urls.items()))

    app.router.add_get("/", get)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    bus = await bus_for(BLOB)
    await bus.answer(registry.PRESIGN_OBJECTS, presign)
    await bus.flush()
    yield objects
    await runner.cleanup()


async def test_twenty_megabytes_are_delivered_again_and_again(scene: Scene, blobs: dict[str, bytes]) -> None:
    await scene.start_webhook(total_seconds=15.0, lease_seconds=40.0)
    scene.receiver.behaviours = [status(500), ok]
    accepted = an_acceptance(scene.receiver.url)
    scene.gateway.refs[accepted.job] = REF
    await scene.scheduler.tell(accepted, an_end(accepted.job))
    secret = Webhook(await scene.gateway.secret())
    vibe = "sha256=" + hmac.new(API_KEY.encode(), BODY, "sha256").hexdigest()
    for request in await scene.receiver.received(2, 60):
        assert len(request.body) == len(BODY)
        assert secret.verify(request.body, request.headers)
        assert request.headers["x-vibe-signature"] == vibe
    delivery = await scene.gateway.delivery(accepted.job, DeliveryState.DELIVERED)
    assert [attempt.result for attempt in delivery.attempts] == ["5xx", "2xx"]


async def test_a_body_that_is_not_kept_any_more_is_a_dead_letter(scene: Scene, blobs: dict[str, bytes]) -> None:
    await scene.start_webhook(schedule_seconds=(0, 0.5, 60))
    scene.receiver.behaviours = [status(500)]
    blobs[REF] = b"{}"
    accepted = an_acceptance(scene.receiver.url)
    scene.gateway.refs[accepted.job] = REF
    await scene.scheduler.tell(accepted, an_end(accepted.job))
    await scene.receiver.received(1)
    del blobs[REF]
    dead = await scene.gateway.delivery(accepted.job, DeliveryState.DEAD)
    assert dead.attempts[-1].error == "the body of this event is not kept any more"
