"""Files of jobs in the native API: slots, confirmations, and everything that may be wrong with them."""

from __future__ import annotations

from typing import Any

import pytest

from gridloom_contract import registry
from gridloom_contract.blobs import BlobConfirmed, BlobSlot, ConfirmBlob, CreateBlob
from gridloom_domain import ids
from gridloom_domain.errors import Conflict, GridError, NotFound, RateLimited, TooLarge, Unavailable, UnsupportedMedia
from gridloom_testing.builders import a_job_id
from gridloom_testing.clients import ApiClient
from gridloom_testing.plugin import OpenBus
from integration.gateway.conftest import RunningGateway, Tenant
from integration.gateway.scripted import ScriptedScheduler

BLOBS = "/api/v1/blobs"
URL = "https://s3.example.org/bucket/key?X-Amz-Signature=0"


class ScriptedBlobs:
    """A blob service that takes every order, or refuses all with `fault`."""

    def __init__(self) -> None:
        self.asked: list[CreateBlob | ConfirmBlob] = []
        self.fault: GridError | None = None
        self.blob = a_job_id()

    async def on_create(self, order: CreateBlob, _subject: str) -> BlobSlot:
        """Make a slot."""
        self._note(order)
        return BlobSlot(blob=self.blob, upload_url=URL, expires_in_seconds=900)

    async def on_confirm(self, order: ConfirmBlob, _subject: str) -> BlobConfirmed:
        """Find a picture."""
        self._note(order)
        return BlobConfirmed(blob=order.blob, content_type="image/png", size_bytes=70)

    def _note(self, order: CreateBlob | ConfirmBlob) -> None:
        self.asked.append(order)
        if self.fault is not None:
            raise self.fault


@pytest.fixture
async def blobs(bus_for: OpenBus) -> ScriptedBlobs:
    """A blob service that has arrived."""
    blobs, bus = ScriptedBlobs(), await bus_for("blob")
    await bus.answer(registry.CREATE_BLOB, blobs.on_create)
    await bus.answer(registry.CONFIRM_BLOB, blobs.on_confirm)
    await bus.flush()
    return blobs


async def test_a_slot_is_answered_as_documented(client: ApiClient, tenant: Tenant, blobs: ScriptedBlobs) -> None:
    job = a_job_id()

    answer = await client.call("POST", BLOBS, {"job_id": ids.as_uuid(job), "blob_type": "image"})

    assert answer.status == 201
    assert answer.body == {"blob_id": ids.as_uuid(blobs.blob), "upload_url": URL, "expires_in": 900}
    assert blobs.asked == [CreateBlob(account=tenant.account, job=job, blob_type="image")]


async def test_an_image_is_what_a_blob_is_if_nothing_is_said(client: ApiClient, blobs: ScriptedBlobs) -> None:
    assert (await client.call("POST", BLOBS, {"job_id": ids.as_uuid(a_job_id())})).status == 201
    assert [order.blob_type for order in blobs.asked if isinstance(order, CreateBlob)] == ["image"]


async def test_a_confirmation_is_answered_as_documented_and_says_what_it_found(
    client: ApiClient, tenant: Tenant, blobs: ScriptedBlobs
) -> None:
    name = ids.as_uuid(blobs.blob)

    answer = await client.call("POST", f"{BLOBS}/{name}/confirm")

    assert answer.status == 200
    assert answer.body == {"status": "confirmed", "blob_id": name, "content_type": "image/png", "size_bytes": 70}
    assert blobs.asked == [ConfirmBlob(account=tenant.account, blob=blobs.blob)]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 422, "job_id"),
        ({"job_id": None}, 422, "job_id"),
        ({"job_id": 7}, 422, "job_id"),
        ({"job_id": "not-an-id"}, 404, None),
        ({"job_id": ids.as_uuid(a_job_id()), "blob_type": "video"}, 422, "blob_type"),
        ([], 422, None),
    ],
)
async def test_a_bad_slot_is_refused_before_anybody_is_asked(
    client: ApiClient, blobs: ScriptedBlobs, body: Any, status: int, field: str | None
) -> None:
    answer = await client.call("POST", BLOBS, body)

    assert (answer.status, answer.body.get("field")) == (status, field)
    assert blobs.asked == []


async def test_a_name_that_is_no_id_is_an_unknown_blob(client: ApiClient, blobs: ScriptedBlobs) -> None:
    answer = await client.call("POST", f"{BLOBS}/not-an-id/confirm")

    assert (answer.status, answer.body["message"]) == (404, "there is no such blob")
    assert blobs.asked == []


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (NotFound("there is no such job"), 404),
        (Conflict("the job is running, not waiting"), 409),
        (TooLarge("the upload has 9 bytes, an image may have 8"), 413),
        (UnsupportedMedia("the upload is no image"), 415),
        (RateLimited("the account may keep 8 bytes of files", retry_after_seconds=60.0), 429),
        (Unavailable("S3 does not answer", retry_after_seconds=5.0), 503),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, GridError) else "",
)
async def test_what_the_blob_service_refuses_has_its_status_and_says_why(
    client: ApiClient, blobs: ScriptedBlobs, fault: GridError, status: int
) -> None:
    blobs.fault = fault

    for call in (slot_for_some_job, confirmation_of_some_blob):
        answer = await call(client)
        assert (answer.status, answer.body["message"]) == (status, fault.fault.message)
        assert ("Retry-After" in answer.headers) == (status in (429, 503))


async def test_without_a_blob_service_files_wait_and_jobs_do_not(
    client: ApiClient, scheduler: ScriptedScheduler
) -> None:
    for call in (slot_for_some_job, confirmation_of_some_blob):
        answer = await call(client)
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) >= 1

    assert await client.submit()


async def test_a_job_says_whether_files_will_follow(client: ApiClient, scheduler: ScriptedScheduler) -> None:
    said: list[tuple[int, bool]] = []
    for fields in ({}, {"expect_blobs": 0}, {"expect_blobs": 2}):
        submission = scheduler.submissions[ids.from_uuid(await client.submit(**fields))]
        said.append((submission.files, submission.may_get_files))

    assert said == [(0, True), (0, False), (2, False)]


@pytest.mark.parametrize("count", [-1, 17, "2", 1.5, [1]])
async def test_a_bad_number_of_files_is_named(client: ApiClient, scheduler: ScriptedScheduler, count: Any) -> None:
    answer = await client.call("POST", "/api/v1/jobs", {"model": "m", "prompt": "p", "expect_blobs": count})

    assert (answer.status, answer.body["field"]) == (422, "expect_blobs")


async def test_a_key_that_only_reads_makes_no_slot(
    gateway: RunningGateway, tenant: Tenant, blobs: ScriptedBlobs
) -> None:
    key = (await gateway.ask("POST", f"/admin/v1/accounts/{tenant.account}/keys", {"scopes": ["jobs:read"]})).body[
        "key"
    ]
    async with ApiClient(gateway.url, key) as reader:
        assert (await slot_for_some_job(reader)).status == 403
        assert (await confirmation_of_some_blob(reader)).status == 403
    assert blobs.asked == []


async def slot_for_some_job(client: ApiClient) -> Any:
    return await client.call("POST", BLOBS, {"job_id": ids.as_uuid(a_job_id())})


async def confirmation_of_some_blob(client: ApiClient) -> Any:
    return await client.call("POST", f"{BLOBS}/{ids.as_uuid(a_job_id())}/confirm")
