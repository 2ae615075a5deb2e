"""The native API's job endpoints, over HTTP, with a scheduler that says what the test wants."""

from __future__ import annotations

from gridloom_testing.clients import JOBS, ApiClient
from integration.gateway.conftest import Tenant
from integration.gateway.scripted import ScriptedScheduler


async def test_a_job_is_accepted_with_its_id_status_and_time(
    client: ApiClient, scheduler: ScriptedScheduler, tenant: Tenant
) -> None:
    answer = await client.call("POST", JOBS, {"model": "llama3:8b", "prompt": "Say hello", "tag": "mine"})

    assert answer.status == 201
    assert answer.body["status"] == "pending"
    assert answer.body["created_at"] == "2026-06-20T12:00:00.123Z"
    (submission,) = scheduler.submissions.values()
    assert (submission.account, submission.key, submission.tag) == (tenant.account, tenant.kid, "mine")
