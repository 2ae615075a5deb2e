"""A request that is repeated, through two gateways and the real scheduler: one job, one answer."""

from __future__ import annotations

import asyncio

from gridloom_testing.clients import JOBS, ApiClient

BODY = {"model": "synthetic", "prompt": "Say hello"}
AT_ONCE = 100


async def test_whoever_asks_again_with_the_same_key_gets_the_same_answer_and_one_job(
    client: ApiClient, beside: ApiClient
) -> None:
    answers = await asyncio.gather(
        *(each.call("POST", JOBS, BODY, key="order 1") for _ in range(AT_ONCE // 2) for each in (client, beside))
    )
    job = answers[0].body["job_id"]
    ended = await client.ended(job)
    answers += [
        await client.call("POST", JOBS, BODY, key="order 1"),
        await beside.call("POST", JOBS, BODY, key="order 1"),
    ]
    another = await beside.call("POST", JOBS, BODY | {"prompt": "Say goodbye"}, key="order 1")

    assert {answer.status for answer in answers} == {201}
    assert {str(answer.body) for answer in answers} == {str(answers[0].body)}
    assert (another.status, another.body["error"]) == (409, "conflict")
    assert (ended["status"], ended["attempts"]) == ("completed", 1)
    assert (await client.call("GET", JOBS)).body["total"] == 1


async def test_a_repeated_retry_is_one_retry(client: ApiClient, beside: ApiClient) -> None:
    job = await client.submit(prompt="[[reject]]")
    await client.ended(job)
    path = f"{JOBS}/{job}/retry"

    answers = await asyncio.gather(*(each.call("POST", path, key="again") for each in (client, beside) * 5))
    await client.ended(job)

    assert {answer.status for answer in answers} == {200}
    assert [event["type"] for event in await client.timeline(job)].count("retried") == 1
