"""Webhooks through every real process: what a receiver gets, whatever becomes of the job, and what its owner sees."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from standardwebhooks.webhooks import Webhook

from e2e.hooks import (
    DELIVERIES,
    assert_authentic,
    bytes_of,
    delivery_of,
    second_key,
    secret_of,
    start_hooked,
)
from e2e.shelf import MODEL, Shelf, open_shelf
from e2e.stack_commands import Command
from gridloom_contract.jobs import MAX_INLINE_BYTES
from gridloom_contract.registry import BLOB
from gridloom_local.home import Home
from gridloom_testing.clients import JOBS, ApiClient
from gridloom_testing.grid import Grid, open_grid
from gridloom_testing.servers import Infra, MongoServer
from gridloom_worker.engines.synthetic import repeated, word
from integration.webhook.receivers import Receiver, listening, silent, status

HANGING = "[[hang]]"


@pytest.fixture(scope="module")
def grid(infra: Infra, mongo_server: MongoServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A grid that delivers to this machine, and whose webhook service tries again soon."""
    with open_grid(infra, mongo_server, tmp_path_factory.mktemp("hooked")) as opened:
        opened.start(BLOB)
        start_hooked(opened)
        yield opened


@pytest.fixture(scope="module")
def shelf(grid: Grid) -> Shelf:
    """A drained worker: what is submitted for its model waits."""
    shelf = open_shelf(grid)
    shelf.drain()
    return shelf


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver that takes everything."""
    async with listening() as listening_receiver:
        yield listening_receiver


async def submitted(client: ApiClient, receiver: Receiver, prompt: str = "hello", **fields: Any) -> str:
    return await client.submit(prompt=prompt, webhook_url=f"{receiver.url}/hook", **fields)


async def left_alone(_client: ApiClient, _job: str) -> None:
    """The job ends by itself."""


async def canceled_while_waiting(client: ApiClient, job: str) -> None:
    assert (await client.call("DELETE", f"{JOBS}/{job}")).status == 200


async def canceled_while_running(client: ApiClient, job: str) -> None:
    await client.until(job, "running")
    assert (await client.call("POST", f"{JOBS}/{job}/cancel")).status == 200


@dataclass(frozen=True)
class Ending:
    """A job that is submitted so, is ended so, and then reads so."""

    wish: dict[str, Any]
    shown: dict[str, Any]
    end: Callable[[ApiClient, str], Awaitable[None]] = left_alone


CANCELED = {"status": "failed", "cancelled": True}
ENDINGS = {
    "succeeded": Ending({}, {"status": "completed"}),
    "failed": Ending({"prompt": "[[reject]]"}, {"status": "failed"}),
    "canceled while waiting": Ending({"model": MODEL}, CANCELED | {"attempts": 0}, canceled_while_waiting),
    "canceled while running": Ending({"prompt": HANGING}, CANCELED | {"attempts": 1}, canceled_while_running),
    "timed out": Ending({"prompt": HANGING, "timeout_seconds": 1}, CANCELED | {"error": "timeout"}),
}


@pytest.mark.usefixtures("shelf")
@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())
async def test_every_end_is_told_with_the_bytes_of_get_and_both_signatures(
    client: ApiClient, receiver: Receiver, ending: Ending
) -> None:
    job = await submitted(client, receiver, **ending.wish)
    await ending.end(client, job)

    [request] = await receiver.received(1)

    assert request.body == await bytes_of(client, job)
    await assert_authentic(request, client)
    document = await client.job(job)
    assert {name: document[name] for name in ending.shown} == ending.shown
    assert request.headers["x-gridloom-event"] == "completed"


async def test_a_retry_is_an_event_of_its_own_signed_with_the_key_that_asked_for_it(
    grid: Grid, client: ApiClient, receiver: Receiver
) -> None:
    other_key = second_key(grid, client)
    job = await submitted(client, receiver, HANGING)
    await canceled_while_running(client, job)
    [canceled] = await receiver.received(1)
    async with ApiClient(grid.url, other_key) as retrying:
        assert (await retrying.call("POST", f"{JOBS}/{job}/retry")).status == 200
    await canceled_while_running(client, job)

    _, retried = await receiver.received(2)

    assert retried.id != canceled.id
    assert retried.body != canceled.body
    assert retried.body == await bytes_of(client, job)
    await assert_authentic(canceled, client)
    await assert_authentic(retried, client, other_key)


async def test_every_attempt_has_the_same_id_and_bytes_and_stands_in_the_log(
    client: ApiClient, receiver: Receiver
) -> None:
    receiver.behaviours = [status(500, body=b"sorry"), status(503), status(204)]
    job = await submitted(client, receiver)

    requests = await receiver.received(3)
    delivery = await delivery_of(client, job, "delivered")

    assert len({request.id for request in requests}) == len({request.body for request in requests}) == 1
    assert requests[0].id == delivery["id"]
    for request in requests:
        await assert_authentic(request, client)
    told = [(attempt["result"], attempt["status"], attempt.get("response")) for attempt in delivery["attempts"]]
    assert told == [("5xx", 500, "sorry"), ("5xx", 503, None), ("2xx", 204, None)]
    assert (await client.call("GET", f"{DELIVERIES}/{delivery['id']}")).body == delivery


def prompt_for(fewest_bytes: int, most_bytes: int) -> str:
    """Return a prompt to which the synthetic engine says so much."""
    for tokens in range(1, 100):
        for number in range(100):
            prompt = f"[[tokens={tokens}]] [[repeat=1000]] {number}"
            seed = crc32(prompt.encode())
            if fewest_bytes <= sum(len(repeated(word(seed, index), 1000)) for index in range(tokens)) <= most_bytes:
                return prompt
    raise AssertionError("no such prompt")


@pytest.mark.parametrize(
    "prompt",
    [prompt_for(MAX_INLINE_BYTES - 300, MAX_INLINE_BYTES), "[[tokens=600]] [[repeat=1000]]"],
    ids=["just too large with what is around the text", "megabytes"],
)
async def test_a_body_too_large_for_the_bus_is_delivered_all_the_same(
    client: ApiClient, receiver: Receiver, prompt: str
) -> None:
    receiver.behaviours = [status(500), status(200)]
    job = await submitted(client, receiver, prompt)

    first, second = await receiver.received(2)

    assert len(first.body) > MAX_INLINE_BYTES
    assert first.body == second.body == await bytes_of(client, job)
    await assert_authentic(second, client)


async def test_a_dead_receiver_delays_neither_jobs_nor_the_deliveries_of_others(
    grid: Grid, client: ApiClient, receiver: Receiver
) -> None:
    async with listening(silent) as dead, grid.client() as neighbour:
        for _ in range(20):
            await submitted(neighbour, dead)
        await dead.received(1)

        job = await submitted(client, receiver)
        [request] = await receiver.received(1)

        ended = datetime.fromisoformat((await client.job(job))["completed_at"])
        assert (request.at - ended).total_seconds() < 5
        assert (await delivery_of(neighbour, await submitted(neighbour, dead), "pending"))["event"] == "completed"


async def test_deliveries_are_replayed_one_by_one_and_by_range(client: ApiClient, receiver: Receiver) -> None:
    began = datetime.now(UTC).isoformat()
    receiver.behaviours = [status(410), status(200)]
    dead = await delivery_of(client, await submitted(client, receiver), "dead")

    one = await client.call("POST", f"{DELIVERIES}/{dead['id']}/replay")
    first, again = await receiver.received(2)
    await delivery_of(client, dead["job_id"], "delivered")
    some = await client.call("POST", f"{DELIVERIES}/replay", {"since": began, "state": "delivered"})
    last = (await receiver.received(3))[2]

    assert (one.body, some.body) == ({"replayed": 1}, {"replayed": 1})
    assert {request.id for request in (first, again, last)} == {dead["id"]}
    assert first.body == again.body == last.body
    await assert_authentic(last, client)


async def test_a_replaced_secret_signs_together_with_the_old_one(client: ApiClient, receiver: Receiver) -> None:
    old = await secret_of(client)
    replaced = await client.call("POST", "/api/v1/webhooks/secret/rotate")
    new = await secret_of(client)

    await submitted(client, receiver)
    [request] = await receiver.received(1)

    assert (replaced.body, new != old) == ({"replaced": True}, True)
    assert len(request.headers["webhook-signature"].split()) == 2
    await assert_authentic(request, client)


async def until_forgotten(grid: Grid, kid: str) -> None:
    subscriptions = grid.mongo.admin[grid.database]["subscriptions"]
    async with asyncio.timeout(10):
        while subscriptions.count_documents({"kid": kid, "sealed_key": {"$exists": True}}):
            await asyncio.sleep(0.02)


async def test_a_replaced_api_key_signs_for_its_jobs_and_a_revoked_one_nothing(
    grid: Grid, client: ApiClient, shelf: Shelf, receiver: Receiver
) -> None:
    other_key = second_key(grid, client)
    kid = client.key.split("_")[1]
    jobs = [await submitted(client, receiver, model=shelf.model) for _ in range(2)]

    async with ApiClient(grid.url, other_key) as other:
        grid.ask("POST", f"/admin/v1/keys/{kid}/rotate")
        await canceled_while_waiting(other, jobs[0])
        [replaced] = await receiver.received(1)
        await assert_authentic(replaced, client)
        grid.ask("DELETE", f"/admin/v1/keys/{kid}")
        await until_forgotten(grid, kid)
        await canceled_while_waiting(other, jobs[1])
        _, revoked = await receiver.received(2)

        assert "x-vibe-signature" not in revoked.headers
        assert Webhook(await secret_of(other)).verify(revoked.body, revoked.headers)


async def test_a_receiver_may_ask_whether_a_request_is_authentic(client: ApiClient, receiver: Receiver) -> None:
    await submitted(client, receiver)
    [request] = await receiver.received(1)
    sent = {"body": request.body.decode(), "headers": request.headers}

    right = await client.call("POST", "/api/v1/webhooks/verify-example", sent)
    wrong = await client.call("POST", "/api/v1/webhooks/verify-example", sent | {"body": sent["body"] + " "})

    assert right.body == {"valid": True, "problems": []}
    assert not wrong.body["valid"]
    assert [problem.split()[0] for problem in wrong.body["problems"]] == ["webhook-signature", "X-Vibe-Signature"]


async def test_what_is_delivered_for_one_account_does_not_exist_for_another(
    grid: Grid, client: ApiClient, receiver: Receiver
) -> None:
    delivery = await delivery_of(client, await submitted(client, receiver), "delivered")
    async with grid.client() as stranger:
        one = await stranger.call("GET", f"{DELIVERIES}/{delivery['id']}")
        replayed = await stranger.call("POST", f"{DELIVERIES}/{delivery['id']}/replay")
        named = await stranger.call("POST", f"{DELIVERIES}/replay", {"deliveries": [delivery["id"]]})
        listed = await stranger.call("GET", f"{DELIVERIES}?job_id={delivery['job_id']}")

        assert (one.status, replayed.status, named.body, listed.body["total"]) == (404, 404, {"replayed": 0}, 0)
        assert await secret_of(stranger) != await secret_of(client)


async def test_the_command_lists_shows_and_replays(
    grid: Grid, client: ApiClient, receiver: Receiver, tmp_path: Path
) -> None:
    command = Command(Home(tmp_path), more={"GRIDLOOM_URL": grid.url, "GRIDLOOM_API_KEY": client.key})
    receiver.behaviours = [status(410, body=b"gone for good"), status(200)]
    wish = ("jobs", "submit", "hello", "--model", "synthetic", "--webhook-url", f"{receiver.url}/hook")
    job = await asyncio.to_thread(lambda: command.succeed(*wish).strip())
    dead = await delivery_of(client, job, "dead")

    listed, shown, secret, replayed, ranged, wrong = await asyncio.to_thread(
        lambda: (
            command.succeed("webhooks", "list", "--job", job, "--state", "dead"),
            command.succeed("webhooks", "show", dead["id"]),
            command.succeed("webhooks", "secret", "show").strip(),
            command.succeed("webhooks", "replay", dead["id"]),
            command.succeed("webhooks", "replay", "--since", "2026-01-01", "--until", "2026-01-02T00:00:00Z"),
            command.run("webhooks", "replay"),
        )
    )

    assert (dead["id"] in listed, "4xx" in listed, "1 deliveries" in listed) == (True, True, True)
    assert ("410" in shown, "gone for good" in shown, f"{receiver.url}/hook" in shown) == (True, True, True)
    assert (replayed, ranged) == ("1 to be delivered again\n", "0 to be delivered again\n")
    assert secret == await secret_of(client)
    assert (wrong.returncode, "name one delivery, or a range" in wrong.stderr) == (2, True)
    assert (await receiver.received(2))[1].id == dead["id"]
