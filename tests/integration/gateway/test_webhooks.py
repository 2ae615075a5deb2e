"""Webhooks at the gateway: what is ordered with a job, what is refused, and what is asked of the webhook service."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import jsonschema
import msgspec
import pytest

from gridloom_contract.fault import FaultCode, FaultError
from gridloom_contract.vocabulary import State
from gridloom_contract.webhooks import (
    DeliveryState,
    GetWebhookSecret,
    ListDeliveries,
    ReplayDeliveries,
    VerifyWebhook,
)
from gridloom_domain import ids
from gridloom_kit.seal import Seal
from gridloom_testing.builders import a_job_id
from gridloom_testing.clients import JOBS, ApiClient
from gridloom_testing.plugin import OpenBus
from integration.gateway.conftest import OpenGateway, RunningGateway, Tenant
from integration.gateway.scripted import ScriptedScheduler
from integration.gateway.scripted_webhooks import ScriptedWebhooks, a_delivery

WEBHOOKS = "/api/v1/webhooks"
DELIVERIES = f"{WEBHOOKS}/deliveries"
URL = "https://example.org/hooks?job=1"

REFUSED_URLS = {
    "another scheme": ("ftp://example.org/", "starts with https"),
    "a file": ("file:///etc/passwd", "starts with https"),
    "http": ("http://example.org/", "starts with https"),
    "no scheme": ("//example.org/", "starts with https"),
    "nothing": ("", "starts with https"),
    "a user name": ("https://user:secret@example.org/", "no user name"),
    "an empty user name": ("https://@example.org/", "no user name"),
    "another port": ("https://example.org:22/", "port 22 is not allowed"),
    "port 0": ("https://example.org:0/", "port 0 is not allowed"),
    "no port at all": ("https://example.org:99999/", "not a URL"),
    "no host": ("https:///hook", "names a host"),
    "half an address": ("https://[::1", "not a URL"),
    "this machine": ("https://127.0.0.1/", "127.0.0.1 is"),
    "this machine in IPv6": ("https://[::1]/", "::1 is"),
    "this machine in other digits": ("https://１２７.0.0.1/", "127.0.0.1 is"),
    "this machine as a number": ("https://2130706433/", "ends in a number"),
    "a private network": ("https://10.1.2.3/", "10.1.2.3 is"),
    "a cloud's secrets": ("https://169.254.169.254/latest/meta-data", "169.254.169.254 is"),
    "a name of this machine": ("https://localhost/", "no complete host name"),
    "a cluster's name": ("https://mongo.default.svc/", "not public"),
    "the grid itself": ("https://grid.example.org/", "the grid itself"),
    "a blank": ("https://example.org/a b", "no blanks"),
    "a line end": ("https://example.org/\n", "no blanks"),
    "a backslash": ("https://example.org\\@10.0.0.1/", "no blanks"),
    "too many characters": ("https://example.org/" + "a" * 2048, "2048"),
}


@pytest.fixture
async def webhooks(bus_for: OpenBus) -> ScriptedWebhooks:
    """A webhook service."""
    scripted = ScriptedWebhooks(await bus_for("webhook"))
    await scripted.arrive()
    return scripted


async def test_a_webhook_is_ordered_with_the_job_and_its_key_sealed_for_that_job(
    client: ApiClient, tenant: Tenant, gateway: RunningGateway, scheduler: ScriptedScheduler
) -> None:
    job = ids.from_uuid(await client.submit(webhook_url=URL))

    submission = scheduler.submissions[job]
    order = submission.webhook
    assert order is not None
    assert (order.url, order.events, order.format) == (URL, ("completed",), "native")
    assert order.traceparent == submission.traceparent
    assert Seal(gateway.settings.webhook_master_key).open(order.sealed_key, job) == tenant.key
    assert tenant.key.split("_")[2].encode() not in msgspec.json.encode(submission)


async def test_a_job_without_a_webhook_orders_none(client: ApiClient, scheduler: ScriptedScheduler) -> None:
    job = ids.from_uuid(await client.submit(webhook_url=None))

    assert scheduler.submissions[job].webhook is None


@pytest.fixture
async def named_client(open_gateway: OpenGateway, scheduler: ScriptedScheduler) -> ApiClient:
    """A client of a gateway that has a public name."""
    gateway = await open_gateway(public_base_url="https://grid.example.org")
    return ApiClient(gateway.url, (await gateway.tenant()).key)


async def test_targets_that_nobody_may_have_called_are_refused_with_the_reason(
    named_client: ApiClient, scheduler: ScriptedScheduler
) -> None:
    async with named_client as client:
        for what, (url, why) in REFUSED_URLS.items():
            answer = await client.call("POST", JOBS, {"model": "m", "prompt": "p", "webhook_url": url})

            told = (answer.status, answer.body["error"], answer.body["field"])
            assert told == (422, "invalid", "webhook_url"), (what, answer)
            assert why in answer.body["message"], (what, answer.body["message"])
            assert "secret" not in answer.body["message"]
    assert scheduler.submissions == {}


async def test_private_targets_are_taken_only_by_the_setting(
    open_gateway: OpenGateway, scheduler: ScriptedScheduler
) -> None:
    gateway = await open_gateway(webhook_allow_private=True)
    async with ApiClient(gateway.url, (await gateway.tenant()).key) as client:
        assert await client.submit(webhook_url="http://127.0.0.1:9/hook")
        metadata = await client.call(
            "POST", JOBS, {"model": "m", "prompt": "p", "webhook_url": "http://169.254.169.254/"}
        )

        assert metadata.status == 422


async def test_other_ports_are_taken_by_the_setting(open_gateway: OpenGateway, scheduler: ScriptedScheduler) -> None:
    gateway = await open_gateway(webhook_allowed_ports=(443, 9443))
    async with ApiClient(gateway.url, (await gateway.tenant()).key) as client:
        assert await client.submit(webhook_url="https://example.org:9443/hook")


async def test_a_retry_brings_the_key_that_asks_for_it(
    client: ApiClient, tenant: Tenant, gateway: RunningGateway, scheduler: ScriptedScheduler
) -> None:
    job = await client.submit(webhook_url=URL)
    name = ids.from_uuid(job)
    scheduler.change(name, state=State.FAILED)

    assert (await client.call("POST", f"{JOBS}/{job}/retry")).status == 200

    order = scheduler.retries[-1]
    assert order.sealed_key is not None
    assert Seal(gateway.settings.webhook_master_key).open(order.sealed_key, name) == tenant.key


async def test_a_body_is_rendered_with_exactly_the_bytes_of_get(
    client: ApiClient, tenant: Tenant, webhooks: ScriptedWebhooks, scheduler: ScriptedScheduler
) -> None:
    job = await client.submit(tag="Grüße")
    name = ids.from_uuid(job)
    await scheduler.assign(name, "w1")
    await scheduler.succeed(name, "Zeile eins\nZeile zwei \N{SNOWMAN}")
    async with client.session.get(f"{JOBS}/{job}") as answer:
        shown = await answer.read()

    rendered = await webhooks.render(name, tenant.account)

    assert (rendered.body, rendered.ref) == (shown, None)


async def test_what_cannot_be_rendered_is_no_reason_to_ask_again(
    client: ApiClient, tenant: Tenant, webhooks: ScriptedWebhooks
) -> None:
    name = ids.from_uuid(await client.submit())
    for asked, code in (
        ((name, "somebody else"), FaultCode.NOT_FOUND),
        ((a_job_id(), tenant.account), FaultCode.NOT_FOUND),
        ((name, tenant.account, "gopher"), FaultCode.INVALID),
    ):
        with pytest.raises(FaultError) as refused:
            await webhooks.render(*asked)

        assert (refused.value.fault.code, refused.value.fault.retryable) == (code, False)


async def test_without_a_scheduler_a_body_is_rendered_later(
    gateway: RunningGateway, tenant: Tenant, webhooks: ScriptedWebhooks, scheduler: ScriptedScheduler
) -> None:
    await scheduler.leave()

    with pytest.raises(FaultError) as refused:
        await webhooks.render(a_job_id(), tenant.account)

    assert refused.value.fault.retryable


async def test_the_log_is_listed_by_job_and_state_in_pages(
    client: ApiClient, tenant: Tenant, webhooks: ScriptedWebhooks
) -> None:
    webhooks.deliveries = [a_delivery() for _ in range(101)]
    job = a_job_id()

    answer = await client.call("GET", f"{DELIVERIES}?job_id={ids.as_uuid(job)}&state=dead&page=2&per_page=100")

    assert webhooks.asked == [
        ListDeliveries(account=tenant.account, job=job, state=DeliveryState.DEAD, page=2, per_page=100)
    ]
    counts = {name: answer.body[name] for name in ("page", "per_page", "total", "total_pages")}
    assert counts == {"page": 2, "per_page": 100, "total": 101, "total_pages": 2}
    assert len(answer.body["deliveries"]) == 100


async def test_a_delivery_is_shown_with_its_attempts(client: ApiClient, webhooks: ScriptedWebhooks) -> None:
    delivery = a_delivery()
    webhooks.deliveries = [a_delivery(), delivery]

    shown = (await client.call("GET", f"{DELIVERIES}/{delivery.delivery}")).body

    moment = "2026-06-20T12:00:00.123Z"
    assert shown == {
        "id": delivery.delivery,
        "job_id": ids.as_uuid(delivery.job),
        "event": "completed",
        "url": "https://example.org/hook",
        "state": "delivered",
        "created_at": moment,
        "delivered_at": moment,
        "attempts": [
            {"at": moment, "result": "timeout", "duration_ms": 15_000, "error": "no answer"},
            {"at": moment, "result": "2xx", "duration_ms": 7, "status": 200, "response": "ok"},
        ],
    }


async def test_a_delivery_that_is_none_is_not_found(client: ApiClient, webhooks: ScriptedWebhooks) -> None:
    for name in (f"evt_{a_job_id()}_4", "evt_1", "x", f"evt_{a_job_id().upper()}_4", "evt_%00"):
        for method, path in (("GET", f"{DELIVERIES}/{name}"), ("POST", f"{DELIVERIES}/{name}/replay")):
            answer = await client.call(method, path)

            assert (answer.status, answer.body["message"]) == (404, "there is no such delivery")
    assert not [one for one in webhooks.asked if isinstance(one, ReplayDeliveries)]


async def test_one_delivery_is_replayed_unless_it_is_under_way(
    client: ApiClient, tenant: Tenant, webhooks: ScriptedWebhooks
) -> None:
    delivery = a_delivery()
    webhooks.deliveries = [delivery]

    answer = await client.call("POST", f"{DELIVERIES}/{delivery.delivery}/replay")
    webhooks.count = 0
    refused = await client.call("POST", f"{DELIVERIES}/{delivery.delivery}/replay")

    assert (answer.status, answer.body) == (200, {"replayed": 1})
    assert webhooks.asked[1] == ReplayDeliveries(account=tenant.account, deliveries=(delivery.delivery,))
    assert (refused.status, refused.body["error"]) == (409, "conflict")


async def test_a_range_is_replayed_from_since_to_until(
    client: ApiClient, tenant: Tenant, webhooks: ScriptedWebhooks
) -> None:
    webhooks.count = 7
    wish = {"since": "2026-06-20T12:00:00+02:00", "until": "2026-06-20T11:00:00Z", "state": "dead"}

    answer = await client.call("POST", f"{DELIVERIES}/replay", wish)

    assert answer.body == {"replayed": 7}
    assert webhooks.asked == [
        ReplayDeliveries(
            account=tenant.account,
            since=datetime(2026, 6, 20, 10, tzinfo=UTC),
            until=datetime(2026, 6, 20, 11, tzinfo=UTC),
            state=DeliveryState.DEAD,
        )
    ]


async def test_wrong_questions_name_their_field_and_are_not_asked(
    client: ApiClient, webhooks: ScriptedWebhooks
) -> None:
    queries = {"page=0": "page", "per_page=101": "per_page", "per_page=x": "per_page", "state=lost": "state"}
    for query, field in (queries | {"job_id=5": "job_id"}).items():
        answer = await client.call("GET", f"{DELIVERIES}?{query}")
        assert (answer.status, answer.body["field"]) == (422, field), (query, answer)
    for body, field in (
        ({"since": "yesterday"}, "since"),
        ({"until": "2026-06-20T11:00:00"}, "until"),
        ({"deliveries": ["evt"] * 1001}, "deliveries"),
        ({"deliveries": ["x" * 65]}, "deliveries[0]"),
        ({"state": "dropped"}, "state"),
    ):
        answer = await client.call("POST", f"{DELIVERIES}/replay", body)
        assert (answer.status, answer.body["field"]) == (422, field), (body, answer)
    for body, field in (({"headers": {}}, "body"), ({"body": "x" * 131_073, "headers": {}}, "body")):
        answer = await client.call("POST", f"{WEBHOOKS}/verify-example", body)
        assert (answer.status, answer.body["field"]) == (422, field), (body, answer)
    assert webhooks.asked == []


async def test_the_secret_is_shown_and_replaced_only_to_a_key_that_may_change_things(
    client: ApiClient, tenant: Tenant, gateway: RunningGateway, webhooks: ScriptedWebhooks
) -> None:
    shown = await client.call("GET", f"{WEBHOOKS}/secret")
    replaced = await client.call("POST", f"{WEBHOOKS}/secret/rotate")
    reader = await gateway.tenant(scopes=["jobs:read"])
    async with ApiClient(gateway.url, reader.key) as reading:
        refused = await reading.call("GET", f"{WEBHOOKS}/secret")

    assert (shown.body, replaced.body) == ({"key": "whsec_old"}, {"replaced": True})
    assert webhooks.asked == [
        GetWebhookSecret(account=tenant.account),
        GetWebhookSecret(account=tenant.account, rotate=True),
    ]
    assert refused.status == 403


async def test_a_request_is_tried_with_the_callers_key_and_what_signs_it(
    client: ApiClient, tenant: Tenant, webhooks: ScriptedWebhooks
) -> None:
    webhooks.problems = ("the header webhook-id is missing",)
    headers = {"Webhook-Timestamp": "1", "X-Vibe-Signature": "sha256=0", "Cookie": "private"}

    answer = await client.call("POST", f"{WEBHOOKS}/verify-example", {"body": "{}", "headers": headers})

    assert answer.body == {"valid": False, "problems": ["the header webhook-id is missing"]}
    known = {"webhook-timestamp": "1", "x-vibe-signature": "sha256=0"}
    assert webhooks.asked == [VerifyWebhook(account=tenant.account, body="{}", headers=known, key=tenant.key)]


async def test_without_a_webhook_service_jobs_are_taken_and_the_log_is_unavailable(client: ApiClient) -> None:
    assert await client.submit(webhook_url=URL)

    answer = await client.call("GET", DELIVERIES)

    assert (answer.status, answer.body["error"]) == (503, "unavailable")


async def test_the_answers_are_what_is_described(
    gateway: RunningGateway, client: ApiClient, webhooks: ScriptedWebhooks
) -> None:
    document = (await gateway.ask("GET", "/openapi.json")).body
    delivery = a_delivery()
    webhooks.deliveries = [delivery, a_delivery(state=DeliveryState.PENDING, next_attempt_at=delivery.created_at)]
    calls: tuple[tuple[str, str, Any], ...] = (
        ("GET", DELIVERIES, None),
        ("GET", f"{DELIVERIES}/{{delivery}}", None),
        ("POST", f"{DELIVERIES}/{{delivery}}/replay", None),
        ("POST", f"{DELIVERIES}/replay", {"deliveries": [delivery.delivery]}),
        ("GET", f"{WEBHOOKS}/secret", None),
        ("POST", f"{WEBHOOKS}/secret/rotate", None),
        ("POST", f"{WEBHOOKS}/verify-example", {"body": "", "headers": {}}),
        ("POST", f"{WEBHOOKS}/verify-example", {"body": 1}),
    )
    for method, path, body in calls:
        answer = await client.call(method, path.format(delivery=delivery.delivery), body)
        content = document["paths"][path][method.lower()]["responses"][str(answer.status)]["content"]
        schema = content["application/json"]["schema"]
        jsonschema.validate(answer.body, schema | {"components": document["components"]})
