"""Webhooks reach real receivers, signed, once or more, and never less than that."""

from __future__ import annotations

import hmac

from standardwebhooks.webhooks import Webhook

from gridloom_contract.webhooks import DeliveryState
from integration.webhook.conftest import Replica
from integration.webhook.receivers import Receiver
from integration.webhook.scripted import ScriptedGateway, ScriptedScheduler
from unit.webhook.facts import API_KEY


async def test_an_ended_job_is_delivered_with_the_bytes_of_its_document_and_both_signatures(
    webhook: Replica, scheduler: ScriptedScheduler, gateway: ScriptedGateway, receiver: Receiver
) -> None:
    job = await scheduler.run_job(f"{receiver.url}/hooks?a=1")
    request = (await receiver.received(1))[0]
    assert request.path == "/hooks?a=1"
    assert request.body == gateway.body_of(job)
    assert request.headers["x-vibe-signature"] == "sha256=" + hmac.new(API_KEY.encode(), request.body, "sha256").hexdigest()
    assert Webhook(await gateway.secret()).verify(request.body, request.headers)
    assert request.id == f"evt_{job}_4"
    assert request.headers["x-gridloom-event"] == "completed"
    assert request.headers["x-gridloom-delivery-attempt"] == "1"
    assert request.headers["content-type"] == "application/json"
    delivery = await gateway.delivery(job, DeliveryState.DELIVERED)
    assert [attempt.result for attempt in delivery.attempts] == ["2xx"]
