"""Adding an API takes one folder and one row: `toy` is such a folder, and all that APIs share works there."""

from __future__ import annotations

from functools import partial

import pytest

from gridloom_domain import ids
from gridloom_gateway.app import DIALECTS
from gridloom_gateway.service import build
from gridloom_testing.clients import JOBS, ApiClient
from gridloom_testing.plugin import OpenBus
from integration.gateway.conftest import OpenGateway, RunningGateway
from integration.gateway.scripted import ScriptedScheduler
from integration.gateway.scripted_webhooks import ScriptedWebhooks
from integration.gateway.toy import ROW

TOYS = "/toy/v1/toys"
NAME = {"Host": "toys.example"}
ASK = {"whom": "m", "what": "Are we there yet?"}
BUILD = partial(build, rows=(*DIALECTS, ROW))


@pytest.fixture
async def gateway(open_gateway: OpenGateway, scheduler: ScriptedScheduler) -> RunningGateway:
    """A gateway whose table has one row more, and a host name for it."""
    return await open_gateway(BUILD, mounts=("toys.example=toy",))


@pytest.fixture
async def toy(client: ApiClient) -> str:
    """A job that came through the new API."""
    answer = await client.call("POST", TOYS, ASK)
    assert answer.status == 201
    return str(answer.body["toy"])


async def test_it_is_served_at_its_mounts_and_under_its_name(client: ApiClient, toy: str) -> None:
    for path, host in (
        (TOYS, ""),
        ("/games/toy/v1/toys", ""),
        ("/toys", "toys.example"),
        ("/v1/toys/", "toys.example"),
    ):
        headers = {"Host": host} if host else {}
        async with client.session.get(path, headers=headers) as answer:
            assert (answer.status, len((await answer.json())["toys"])) == (200, 1), path


async def test_its_jobs_open_in_every_other_api_and_theirs_in_it(
    client: ApiClient, scheduler: ScriptedScheduler, toy: str
) -> None:
    job = toy[::-1]
    forms = (
        f"{JOBS}/{ids.as_uuid(job)}",
        f"/v1/jobs/{ids.as_base32(job)}",
        f"/infernet/api/v1/jobs/job_{job}",
        f"/remotejobs/v2/jobs/{job}",
    )
    native = ids.from_uuid(await client.submit("m"))

    assert [(await client.call("GET", path)).status for path in forms] == [200] * 4
    assert (await client.call("GET", f"{TOYS}/{native[::-1]}")).body["mood"] == "thinking"
    await scheduler.succeed(job, "No.")
    assert (await client.call("GET", f"{TOYS}/{toy}")).body == {"toy": toy, "mood": "glad", "said": "No."}


async def test_another_account_sees_nothing_of_it(gateway: RunningGateway, toy: str) -> None:
    stranger = await gateway.tenant()
    async with ApiClient(gateway.url, stranger.key) as client:
        answer = await client.call("GET", f"{TOYS}/{toy}")

    assert (answer.status, answer.body) == (418, {"oops": "there is no such job"})


async def test_its_errors_are_in_its_words(client: ApiClient, gateway: RunningGateway) -> None:
    async with ApiClient(gateway.url, "nonsense") as nobody:
        answers = [
            await nobody.call("GET", TOYS),
            await client.call("GET", "/toy/v1/nothing"),
            await client.call("DELETE", TOYS),
            await client.call("POST", TOYS, {"whom": "m"}),
        ]

    assert [answer.status for answer in answers] == [401, 418, 418, 418]
    assert all(list(answer.body) == ["oops"] for answer in answers)
    assert all("X-Toys-Left" in answer.headers for answer in answers)


async def test_a_repeated_request_is_carried_out_once(client: ApiClient, scheduler: ScriptedScheduler) -> None:
    answers = [await client.call("POST", TOYS, ASK, key="once") for _ in range(2)]
    elsewhere = await client.call("POST", JOBS, {"model": "m", "prompt": "p"}, key="once")

    assert answers[0].body == answers[1].body
    assert len(scheduler.submissions) == 1
    assert (elsewhere.status, elsewhere.body["error"]) == (409, "conflict")


async def test_its_calls_count_in_a_group_of_their_own(client: ApiClient) -> None:
    left = [int((await client.call("GET", TOYS)).headers["X-Toys-Left"]) for _ in range(3)]

    assert left in ([19, 18, 17], [19, 18, 19], [19, 19, 18])  # the minute may turn
    assert (await client.call("GET", "/api/v1/models")).status == 200


async def test_it_describes_itself_and_is_listed_on_the_page(client: ApiClient) -> None:
    own = (await client.call("GET", "/toy/v1/openapi.json")).body
    whole = (await client.call("GET", "/openapi.json")).body
    listed = (await client.call("GET", "/docs/apis.json")).body

    assert set(own["paths"]) == {"/toys", "/toys/{toy}"}
    assert own["servers"] == [{"url": "/toy/v1"}]
    assert {"/toy/v1/toys", "/toy/v1/toys/{toy}"} <= set(whole["paths"])
    assert {one["name"]: one["url"] for one in listed} == {
        "everything": "/openapi.json",
        "native": "/api/v1/openapi.json",
        "openai": "/v1/openapi.json",
        "remotejobs": "/remotejobs/v2/openapi.json",
        "infernet": "/infernet/api/v1/openapi.json",
        "admin": "/admin/v1/openapi.json",
        "toy": "/toy/v1/openapi.json",
    }
    assert [(await client.call("GET", one["url"])).status for one in listed] == [200] * len(listed)


async def test_its_jobs_have_webhooks_in_its_words(
    client: ApiClient, gateway: RunningGateway, scheduler: ScriptedScheduler, bus_for: OpenBus
) -> None:
    webhooks = ScriptedWebhooks(await bus_for("webhook"))
    await webhooks.arrive()
    toy = (await client.call("POST", TOYS, ASK | {"tell": "https://receiver.example/"})).body["toy"]
    await scheduler.succeed(toy[::-1], "No.")
    ordered = scheduler.submissions[toy[::-1]]

    rendered = await webhooks.render(toy[::-1], ordered.account, "toy")

    assert ordered.webhook is not None
    assert ordered.webhook.format == "toy"
    assert rendered.body == f'{{"toy":"{toy}","mood":"glad","said":"No."}}'.encode()
