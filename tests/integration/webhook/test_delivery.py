"""Webhooks reach real receivers: signed, the same on every attempt, and once a fact however often it is told."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook

from gridloom_contract.fault import FaultCode, FaultError
from gridloom_contract.webhooks import DeliveryState
from gridloom_kit.mongo import Database
from gridloom_testing.builders import a_job_id
from integration.webhook.conftest import Replica, StartWebhook
from integration.webhook.receivers import Receiver, ok, status
from integration.webhook.scripted import ScriptedGateway, ScriptedScheduler
from unit.webhook.facts import API_KEY, KID, SEAL, a_retry, a_start, an_acceptance, an_end

ENDED = (DeliveryState.DELIVERED, DeliveryState.DEAD)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def vibe(body: bytes, key: str = API_KEY) -> str:
    return "sha256=" + hmac.new(key.encode(), body, "sha256").hexdigest()


async def test_an_ended_job_is_delivered_with_the_bytes_of_its_document_and_both_signatures(
    webhook: Replica, scheduler: ScriptedScheduler, gateway: ScriptedGateway, receiver: Receiver
) -> None:
    job = await scheduler.run_job(f"{receiver.url}/hooks?a=1", order={"traceparent": TRACEPARENT})
    request = (await receiver.received(1))[0]
    assert (request.path, request.body) == ("/hooks?a=1", gateway.body_of(job))
    assert request.headers["x-vibe-signature"] == vibe(request.body)
    assert Webhook(await gateway.secret()).verify(request.body, request.headers)
    assert request.id == f"evt_{job}_4"
    assert request.headers["x-gridloom-event"] == "completed"
    assert request.headers["x-gridloom-delivery-attempt"] == "1"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("Gridloom-Webhook/")
    assert request.headers["traceparent"] == TRACEPARENT
    assert not {"cookie", "accept-encoding", "authorization"} & request.headers.keys()
    delivery = await gateway.delivery(job, DeliveryState.DELIVERED)
    assert [attempt.result for attempt in delivery.attempts] == ["2xx"]
    assert delivery.delivered_at


async def test_every_attempt_has_the_same_id_and_bytes_and_a_signature_of_its_own_time(
    webhook: Replica, scheduler: ScriptedScheduler, gateway: ScriptedGateway, receiver: Receiver
) -> None:
    receiver.behaviours = [status(500, body=b"sorry"), status(503), ok]
    job = await scheduler.run_job(receiver.url)
    requests = await receiver.received(3)
    assert {request.id for request in requests} == {f"evt_{job}_4"}
    assert {request.body for request in requests} == {gateway.body_of(job)}
    assert [request.headers["x-gridloom-delivery-attempt"] for request in requests] == ["1", "2", "3"]
    secret = Webhook(await gateway.secret())
    assert all(secret.verify(request.body, request.headers) for request in requests)
    delivery = await gateway.delivery(job, *ENDED)
    assert [(attempt.result, attempt.status, attempt.response) for attempt in delivery.attempts] == [
        ("5xx", 500, "sorry"),
        ("5xx", 503, None),
        ("2xx", 200, None),
    ]


async def test_after_the_schedule_it_is_a_dead_letter_that_can_be_replayed(
    webhook: Replica, scheduler: ScriptedScheduler, gateway: ScriptedGateway, receiver: Receiver
) -> None:
    receiver.behaviours = [status(500), status(500), status(404), ok]
    job = await scheduler.run_job(receiver.url)
    dead = await gateway.delivery(job, *ENDED)
    assert (dead.state, dead.next_attempt_at, len(dead.attempts)) == (DeliveryState.DEAD, None, 3)
    assert await gateway.replay(deliveries=(dead.delivery,)) == 1
    requests = await receiver.received(4)
    assert (requests[3].id, requests[3].body) == (requests[0].id, requests[0].body)
    assert requests[3].headers["x-gridloom-delivery-attempt"] == "4"
    assert requests[3].headers["x-vibe-signature"] == vibe(requests[3].body)
    assert (await gateway.delivery(job, DeliveryState.DELIVERED)).delivery == dead.delivery


async def test_a_range_is_replayed_and_nothing_outside_it(
    webhook: Replica, scheduler: ScriptedScheduler, gateway: ScriptedGateway, receiver: Receiver
) -> None:
    for _ in range(3):
        await gateway.delivery(await scheduler.run_job(receiver.url), DeliveryState.DELIVERED)
    newest, middle, oldest = (await gateway.deliveries()).deliveries
    assert await gateway.replay(since=middle.created_at, until=newest.created_at) == 1
    assert (await receiver.received(4))[3].id == middle.delivery
    assert await gateway.replay(since=oldest.created_at, state=DeliveryState.DEAD) == 0
    await gateway.delivery(middle.job, DeliveryState.DELIVERED)
    assert await gateway.replay(since=oldest.created_at, until=datetime.now(UTC) + timedelta(seconds=1)) == 3
    await receiver.received(7)


async def test_a_replay_names_what_it_means(webhook: Replica, gateway: ScriptedGateway) -> None:
    with pytest.raises(FaultError) as raised:
        await gateway.replay()
    assert raised.value.fault.code is FaultCode.INVALID
    with pytest.raises(FaultError):
        await gateway.replay(deliveries=("evt",) * 1001)


async def test_another_accounts_deliveries_do_not_exist(
    webhook: Replica, scheduler: ScriptedScheduler, gateway: ScriptedGateway, receiver: Receiver
) -> None:
    job = await scheduler.run_job(receiver.url)
    delivery = await gateway.delivery(job, DeliveryState.DELIVERED)
    assert (await gateway.deliveries("acc2")).total == 0
    assert (await gateway.deliveries("acc2", job=job)).total == 0
    assert (await gateway.deliveries("acc1", delivery=delivery.delivery)).deliveries == (delivery,)
    assert (await gateway.deliveries("acc2", delivery=delivery.delivery)).total == 0
    assert await gateway.replay("acc2", deliveries=(delivery.delivery,)) == 0
    assert await gateway.replay("acc2", since=delivery.created_at) == 0
    assert await gateway.secret("acc2") != await gateway.secret("acc1")


async def test_the_log_has_pages_newest_first(
    webhook: Replica, scheduler: ScriptedScheduler, gateway: ScriptedGateway, receiver: Receiver
) -> None:
    jobs = []
    for _ in range(3):
        jobs.append(await scheduler.run_job(receiver.url))
        await gateway.delivery(jobs[-1], DeliveryState.DELIVERED)
    first = await gateway.deliveries(per_page=2)
    second = await gateway.deliveries(per_page=2, page=2)
    assert [one.job for one in (*first.deliveries, *second.deliveries)] == jobs[::-1]
    assert (first.total, (await gateway.deliveries(page=9)).deliveries) == (3, ())
    assert (await gateway.deliveries(state=DeliveryState.DEAD)).total == 0
    for page in ({"page": 0}, {"per_page": 0}, {"per_page": 101}):
        with pytest.raises(FaultError):
            await gateway.deliveries(**page)


async def test_facts_told_twice_make_one_delivery(
    webhook: Replica, scheduler: ScriptedScheduler, gateway: ScriptedGateway, receiver: Receiver
) -> None:
    accepted = an_acceptance(receiver.url)
    end = an_end(accepted.job)
    await scheduler.tell(accepted, end)
    await receiver.received(1)
    for again in ("-1", "-2", "-3"):
        await scheduler.tell(accepted, end, again=again)
    last = await scheduler.run_job(receiver.url)
    await gateway.delivery(last, DeliveryState.DELIVERED)
    assert [request.id for request in receiver.requests] == [f"evt_{accepted.job}_4", f"evt_{last}_4"]
    assert (await gateway.deliveries()).total == 2


async def test_an_end_that_overtakes_its_beginning_waits_for_it(
    webhook: Replica, scheduler: ScriptedScheduler, receiver: Receiver
) -> None:
    accepted = an_acceptance(receiver.url)
    await scheduler.tell(an_end(accepted.job))
    await scheduler.tell(accepted)
    assert (await receiver.received(1))[0].id == f"evt_{accepted.job}_4"


async def test_while_nobody_renders_nothing_is_lost(
    webhook: Replica, scheduler: ScriptedScheduler, gateway: ScriptedGateway, receiver: Receiver
) -> None:
    gateway.is_down = True
    job = await scheduler.run_job(receiver.url)
    while job not in gateway.rendered:
        await scheduler.bus.flush()
    gateway.is_down = False
    assert (await receiver.received(1))[0].id == f"evt_{job}_4"


async def test_jobs_without_a_webhook_cost_nothing(
    webhook: Replica, scheduler: ScriptedScheduler, gateway: ScriptedGateway, receiver: Receiver, database: Database
) -> None:
    silent = a_job_id()
    await scheduler.tell(
        an_acceptance("", silent, webhook=None), a_start(silent, has_webhook=False), an_end(silent, has_webhook=False)
    )
    job = await scheduler.run_job(receiver.url)
    await gateway.delivery(job, DeliveryState.DELIVERED)
    assert gateway.rendered == [job]
    assert await database["subscriptions"].count_documents({}) == 1


async def test_who_did_not_ask_for_the_end_is_not_told(
    webhook: Replica, scheduler: ScriptedScheduler, gateway: ScriptedGateway, receiver: Receiver
) -> None:
    await scheduler.run_job(receiver.url, order={"events": ("start",)})
    job = await scheduler.run_job(receiver.url)
    await gateway.delivery(job, DeliveryState.DELIVERED)
    assert [request.id for request in receiver.requests] == [f"evt_{job}_4"]


async def test_the_api_key_is_gone_once_the_event_is_frozen_and_never_stood_there_in_plain(
    webhook: Replica, scheduler: ScriptedScheduler, gateway: ScriptedGateway, receiver: Receiver, database: Database
) -> None:
    accepted = an_acceptance(receiver.url)
    await scheduler.tell(accepted)
    while not (found := await database["subscriptions"].find_one({"_id": accepted.job})):
        await gateway.deliveries()
    assert found["sealed_key"]
    assert (API_KEY in str(found), found["kid"]) == (False, KID)
    await scheduler.tell(an_end(accepted.job))
    await gateway.delivery(accepted.job, DeliveryState.DELIVERED)
    everything = [str(one) for name in await database.list_collection_names() async for one in database[name].find()]
    assert len(everything) >= 3
    assert not any(API_KEY in one or "sealed_key" in one for one in everything)
    secret = await gateway.secret()
    assert not any(secret in one for one in everything)


async def test_a_job_that_runs_again_has_an_end_of_its_own_signed_with_the_key_that_asked(
    webhook: Replica, scheduler: ScriptedScheduler, gateway: ScriptedGateway, receiver: Receiver
) -> None:
    accepted = an_acceptance(receiver.url)
    await scheduler.tell(accepted, an_end(accepted.job))
    await receiver.received(1)
    other = API_KEY.replace("abcd1234", "efgh5678")
    sealed = SEAL.close(other, accepted.job)
    await scheduler.tell(a_retry(accepted.job, sealed_key=sealed), an_end(accepted.job, seq=8, attempt=2))
    first, second = await receiver.received(2)
    assert (first.id, second.id) == (f"evt_{accepted.job}_4", f"evt_{accepted.job}_8")
    assert second.headers["x-vibe-signature"] == vibe(second.body, other)


async def test_a_revoked_key_signs_nothing_any_more(
    start_webhook: StartWebhook,
    scheduler: ScriptedScheduler,
    gateway: ScriptedGateway,
    receiver: Receiver,
    database: Database,
) -> None:
    await start_webhook(schedule_seconds=(0, 1.0))
    receiver.behaviours = [status(500), ok]
    waiting = an_acceptance(receiver.url)
    await scheduler.tell(waiting)
    job = await scheduler.run_job(receiver.url)
    assert "x-vibe-signature" in (await receiver.received(1))[0].headers
    await gateway.revoke(KID, is_changed_only=True)
    await gateway.deliveries()
    assert await database["subscriptions"].count_documents({"kid": KID, "sealed_key": {"$exists": True}}) == 1
    await gateway.revoke(KID)
    while await database["subscriptions"].count_documents({"sealed_key": {"$exists": True}}):
        await gateway.deliveries()
    late = an_acceptance(receiver.url)  # which was on its way when the key was revoked
    await scheduler.tell(late, an_end(waiting.job), an_end(late.job))
    requests = (await receiver.received(4))[1:]
    assert {request.id for request in requests} == {f"evt_{name}_4" for name in (job, waiting.job, late.job)}
    assert not any("x-vibe-signature" in request.headers for request in requests)
    assert all("webhook-signature" in request.headers for request in requests)


async def test_for_a_day_a_replaced_secret_signs_beside_the_new_one(
    webhook: Replica, scheduler: ScriptedScheduler, gateway: ScriptedGateway, receiver: Receiver
) -> None:
    old = await gateway.secret()
    assert await gateway.secret() == old
    new = await gateway.secret(rotate=True)
    assert (await gateway.secret(), new != old) == (new, True)
    await scheduler.run_job(receiver.url)
    request = (await receiver.received(1))[0]
    assert len(request.headers["webhook-signature"].split(" ")) == 2
    assert Webhook(new).verify(request.body, request.headers)
    assert Webhook(old).verify(request.body, request.headers)


async def test_whoever_receives_may_ask_whether_a_signature_is_right(
    webhook: Replica, scheduler: ScriptedScheduler, gateway: ScriptedGateway, receiver: Receiver
) -> None:
    await scheduler.run_job(receiver.url)
    request = (await receiver.received(1))[0]
    assert (await gateway.verify(request.body, request.headers, key=API_KEY)).valid
    wrong = await gateway.verify(request.body + b" ", request.headers, key=API_KEY)
    assert (wrong.valid, len(wrong.problems)) == (False, 2)
