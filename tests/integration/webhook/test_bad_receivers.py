"""Whatever a receiver does, it costs itself: nothing of it is followed, unpacked, waited for or read without bound."""

from __future__ import annotations

import pytest

from gridloom_contract.webhooks import DeliveryState
from gridloom_kit.mongo import Database
from integration.webhook.conftest import Replica, Scene, StartWebhook
from integration.webhook.receivers import (
    Behaviour,
    Receiver,
    after,
    dripping_body,
    endless_body,
    endless_continue,
    endless_headers,
    gzip_bomb,
    listening,
    nonsense,
    ok,
    reset,
    silent,
    status,
)
from integration.webhook.scripted import ScriptedGateway, ScriptedScheduler

ENDED = (DeliveryState.DELIVERED, DeliveryState.DEAD)


@pytest.mark.parametrize(
    ("behaviour", "result"),
    [
        (silent, "timeout"),
        (endless_continue, "timeout"),
        (reset, "connection"),
        (endless_headers, "connection"),
        (nonsense, "connection"),
        (status(404), "4xx"),
        (status(500), "5xx"),
    ],
    ids=["silent", "endless_continue", "reset", "endless_headers", "nonsense", "404", "500"],
)
async def test_a_receiver_that_fails_is_tried_again(scene: Scene, behaviour: Behaviour, result: str) -> None:
    await scene.start_webhook(total_seconds=0.5)
    scene.receiver.behaviours = [behaviour, ok]
    job = await scene.scheduler.run_job(scene.receiver.url)
    delivery = await scene.gateway.delivery(job, *ENDED)
    assert [attempt.result for attempt in delivery.attempts] == [result, "2xx"]
    assert delivery.attempts[0].error


@pytest.mark.parametrize("behaviour", [endless_body, dripping_body, gzip_bomb, after(0.1)])
async def test_a_2xx_counts_whatever_follows_it(scene: Scene, behaviour: Behaviour) -> None:
    await scene.start_webhook(total_seconds=0.5)
    scene.receiver.behaviours = [behaviour]
    delivery = await scene.gateway.delivery(await scene.scheduler.run_job(scene.receiver.url), *ENDED)
    assert [attempt.result for attempt in delivery.attempts] == ["2xx"]
    assert len(delivery.attempts[0].response or "") <= 1024


async def test_a_redirect_is_a_failure_and_is_not_followed(
    webhook: Replica, scheduler: ScriptedScheduler, gateway: ScriptedGateway, receiver: Receiver
) -> None:
    async with listening() as elsewhere:
        receiver.behaviours = [status(code, f"Location: {elsewhere.url}/") for code in (301, 302, 307)]
        delivery = await gateway.delivery(await scheduler.run_job(receiver.url), *ENDED)
        assert [attempt.result for attempt in delivery.attempts] == ["3xx", "3xx", "3xx"]
        assert delivery.state is DeliveryState.DEAD
        assert elsewhere.requests == []


async def test_nobody_listening_is_a_failure(
    webhook: Replica, scheduler: ScriptedScheduler, gateway: ScriptedGateway
) -> None:
    async with listening() as gone:
        url = gone.url
    delivery = await gateway.delivery(await scheduler.run_job(url), *ENDED)
    assert [attempt.result for attempt in delivery.attempts] == ["connection"] * 3


async def test_410_disables_the_endpoint_until_somebody_replays(
    webhook: Replica, scheduler: ScriptedScheduler, gateway: ScriptedGateway, receiver: Receiver, database: Database
) -> None:
    receiver.behaviours = [status(410), ok]
    first = await gateway.delivery(await scheduler.run_job(f"{receiver.url}/gone"), *ENDED)
    assert (first.state, len(first.attempts)) == (DeliveryState.DEAD, 1)
    second = await gateway.delivery(await scheduler.run_job(f"{receiver.url}/gone?x=1"), *ENDED)
    assert second.state is DeliveryState.DEAD
    assert "410 Gone" in (second.attempts[0].error or "")
    elsewhere = await scheduler.run_job(f"{receiver.url}/other")
    another = await scheduler.run_job(f"{receiver.url}/gone", account="acc2")
    assert {request.id for request in (await receiver.received(3))[1:]} == {f"evt_{elsewhere}_4", f"evt_{another}_4"}
    assert await gateway.replay(deliveries=(second.delivery,)) == 1
    assert (await receiver.received(4))[3].id == second.delivery
    await gateway.delivery(second.job, DeliveryState.DELIVERED)
    assert await database["endpoints"].count_documents({}) == 0


async def test_410_gives_up_what_waits_for_the_same_endpoint(
    start_webhook: StartWebhook, scheduler: ScriptedScheduler, gateway: ScriptedGateway, receiver: Receiver
) -> None:
    await start_webhook(schedule_seconds=(0, 60))
    receiver.behaviours = [status(500), status(410)]
    waiting = await scheduler.run_job(receiver.url)
    await receiver.received(1)
    while (await gateway.delivery(waiting)).attempts == ():
        pass
    await scheduler.run_job(receiver.url)
    assert (await gateway.delivery(waiting, *ENDED)).state is DeliveryState.DEAD


async def test_an_endpoint_that_fails_for_days_is_disabled(
    start_webhook: StartWebhook,
    scheduler: ScriptedScheduler,
    gateway: ScriptedGateway,
    receiver: Receiver,
    database: Database,
) -> None:
    await start_webhook(disable_after_seconds=0.05, schedule_seconds=(0, 0.1, 60, 60))
    receiver.behaviours = [status(500)]
    delivery = await gateway.delivery(await scheduler.run_job(receiver.url), *ENDED)
    assert (delivery.state, len(delivery.attempts)) == (DeliveryState.DEAD, 2)
    endpoint = await database["endpoints"].find_one({})
    assert endpoint is not None
    assert "nothing was accepted since" in endpoint["why"]


async def test_a_success_ends_the_run_of_failures(
    webhook: Replica, scheduler: ScriptedScheduler, gateway: ScriptedGateway, receiver: Receiver, database: Database
) -> None:
    receiver.behaviours = [status(500), ok]
    await gateway.delivery(await scheduler.run_job(receiver.url), DeliveryState.DELIVERED)
    while await database["endpoints"].count_documents({}):
        await gateway.deliveries()


async def test_a_receiver_that_asks_for_patience_gets_it(
    webhook: Replica, scheduler: ScriptedScheduler, gateway: ScriptedGateway, receiver: Receiver
) -> None:
    receiver.behaviours = [status(429, "Retry-After: 1"), ok]
    await scheduler.run_job(receiver.url)
    first, second = await receiver.received(2)
    assert 1.0 <= (second.at - first.at).total_seconds() < 3.0


async def test_private_targets_are_refused_unless_the_setting_allows_them(
    start_webhook: StartWebhook, scheduler: ScriptedScheduler, gateway: ScriptedGateway, receiver: Receiver
) -> None:
    await start_webhook(allow_private=False)
    port = receiver.url.rpartition(":")[2]
    plain = await gateway.delivery(await scheduler.run_job(receiver.url), *ENDED)
    private = await gateway.delivery(await scheduler.run_job("https://127.0.0.1/x"), *ENDED)
    strange = await gateway.delivery(await scheduler.run_job(f"https://example.org:{port}/x"), *ENDED)
    for delivery in (plain, private, strange):
        assert [attempt.result for attempt in delivery.attempts] == ["blocked"] * 3
    assert receiver.requests == []
