"""One grid behind all public APIs: whatever came in by one is the account's in all, each in its own form and words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from e2e.accounting import AT_ONCE, account_of, until_counted
from e2e.failures import FAILURES, SHAPES
from e2e.hooks import HURRIED, bytes_of
from gridloom_contract.registry import GATEWAY, QUOTA, SCHEDULER, USAGE, WEBHOOK, WORKER
from gridloom_domain import ids
from gridloom_testing.builders import a_job_id
from gridloom_testing.clients import ApiClient
from gridloom_testing.grid import Grid, open_grid
from gridloom_testing.servers import Infra, MongoServer
from integration.webhook.receivers import listening

MOST_BYTES = 100_000
HELLO = "Say hello"
JSON = {"Content-Type": "application/json"}
MESSAGES = [{"role": "user", "content": HELLO}]


@dataclass(frozen=True)
class Api:
    """One public API, as far as these tests use it: how a job is submitted there, named, and read."""

    jobs: str
    submit: str
    wish: dict[str, Any]
    spell: Callable[[str], str]
    read: Callable[[str], str]
    id_in: Callable[[Any], str]
    text_in: Callable[[Any], str]
    word_in: Callable[[Any], str]
    over: tuple[str, ...]
    waiting: tuple[str, ...]


def only(jobs: dict[str, Any]) -> dict[str, Any]:
    (job,) = jobs.values()
    return dict(job)


APIS = {
    "native": Api(
        jobs="/api/v1/jobs",
        submit="/api/v1/jobs",
        wish={"model": "synthetic", "prompt": HELLO},
        spell=ids.as_uuid,
        read=ids.from_uuid,
        id_in=lambda body: str(body["job_id"]),
        text_in=lambda body: str(body["output"]),
        word_in=lambda body: str(body["status"]),
        over=("completed", "failed"),
        waiting=("pending",),
    ),
    "openai": Api(
        jobs="/v1/jobs",
        submit="/v1/chat/completions",
        wish={"model": "synthetic", "messages": MESSAGES, "async": True},
        spell=ids.as_base32,
        read=ids.from_base32,
        id_in=lambda body: str(body["id"]),
        text_in=lambda body: str(body["result"]["choices"][0]["message"]["content"]),
        word_in=lambda body: str(body["status"]),
        over=("PROCESSED", "FAILED", "CANCELED"),
        waiting=("QUEUED",),
    ),
    "remotejobs": Api(
        jobs="/remotejobs/v2/jobs",
        submit="/remotejobs/v2/jobs",
        wish={
            "app": "gridrepublic:text-inference",
            "commandLine": msgspec.json.encode({"inputs": [HELLO]}).decode(),
            "tag": "synthetic",
        },
        spell=ids.as_hex,
        read=ids.from_hex,
        id_in=lambda body: str(body["ids"][0]),
        text_in=lambda body: str(only(body["jobs"])["states"]["default"]["log"]),
        word_in=lambda body: str(only(body["jobs"])["vmStatus"]),
        over=("finished", "error", "cancelled"),
        waiting=("queued",),
    ),
    "infernet": Api(
        jobs="/infernet/api/v1/jobs",
        submit="/infernet/api/v1/jobs",
        wish={"model": "synthetic", "messages": MESSAGES},
        spell=ids.as_prefixed,
        read=ids.from_prefixed,
        id_in=lambda body: str(body["id"]),
        text_in=lambda body: str(body["result"]["content"]),
        word_in=lambda body: str(body["status"]),
        over=("completed", "failed"),
        waiting=("pending",),
    ),
}
every_api = pytest.mark.parametrize("name", APIS)


@pytest.fixture(scope="module")
def grid(infra: Infra, mongo_server: MongoServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A grid that counts at once, calls this machine, and has a host name for each API."""
    names = tuple(f"{name}.example={name}" for name in APIS)
    with open_grid(infra, mongo_server, tmp_path_factory.mktemp("dialects")) as opened:
        opened.start(SCHEDULER)
        opened.start(QUOTA)
        opened.start(USAGE, **AT_ONCE)
        opened.start(WEBHOOK, **HURRIED)
        opened.start(GATEWAY, webhook_allow_private=True, mounts=names, max_body_bytes=MOST_BYTES)
        opened.wait_until_ready()
        opened.start(WORKER, opened.enrol())
        opened.wait_until_ready()
        yield opened


async def submitted(client: ApiClient, name: str, **options: Any) -> str:
    """Submit a job by this API and return the core's id."""
    api = APIS[name]
    answer = await client.call("POST", api.submit, api.wish, **options)
    assert answer.status in {200, 201, 202}, answer.body
    return api.read(api.id_in(answer.body))


async def shown(client: ApiClient, name: str, job: str) -> Any:
    """Return the job as this API shows it."""
    answer = await client.call("GET", f"{APIS[name].jobs}/{APIS[name].spell(job)}")
    assert answer.status == 200, answer.body
    return answer.body


async def ended(client: ApiClient, name: str, job: str) -> Any:
    """Return the job as this API shows it once it is over."""
    async with asyncio.timeout(30):
        while APIS[name].word_in(body := await shown(client, name, job)) not in APIS[name].over:
            await asyncio.sleep(0.05)
    return body


async def until_held(client: ApiClient, job: str) -> None:
    """Return once the job waits for its account's quota."""
    async with asyncio.timeout(30):
        while (await client.job(ids.as_uuid(job))).get("waiting_for") != "quota":
            await asyncio.sleep(0.05)


@every_api
async def test_a_job_of_one_api_opens_in_every_other_in_that_ones_form(client: ApiClient, name: str) -> None:
    job = await submitted(client, name)
    text = APIS[name].text_in(await ended(client, name, job))

    bodies = {other: await shown(client, other, job) for other in APIS}

    assert len(text.split()) == 16
    assert {other: APIS[other].text_in(body) for other, body in bodies.items()} == dict.fromkeys(APIS, text)
    assert {other: APIS[other].word_in(body) for other, body in bodies.items()} == {
        other: api.over[0] for other, api in APIS.items()
    }


@every_api
async def test_an_api_knows_ids_in_its_own_form_only(client: ApiClient, name: str) -> None:
    job = await submitted(client, name)
    others = {api.spell(job) for other, api in APIS.items() if other != name}

    assert {(await client.call("GET", f"{APIS[name].jobs}/{form}")).status for form in others} == {404}


async def test_each_api_lists_only_its_own(grid: Grid) -> None:
    async with grid.client() as client:
        jobs = {name: await submitted(client, name) for name in APIS}
        await client.call("POST", "/v1/chat/completions", APIS["openai"].wish | {"async": False})
        listed = {name: (await client.call("GET", APIS[name].jobs)).body for name in APIS if name != "remotejobs"}

    assert [each["job_id"] for each in listed["native"]["jobs"]] == [ids.as_uuid(jobs["native"])]
    assert [each["id"] for each in listed["infernet"]["jobs"]] == [ids.as_prefixed(jobs["infernet"])]
    assert [each["id"] for each in listed["openai"]["data"]] == [ids.as_base32(jobs["openai"])]


async def test_all_count_in_one_ledger(grid: Grid) -> None:
    async with grid.client() as client:
        for name in APIS:
            await ended(client, name, await submitted(client, name))
        statement = await until_counted(client, len(APIS))

    assert statement["total"]["jobs"] == len(APIS)
    assert statement["total"]["output_tokens"] == 16 * len(APIS)


async def test_all_are_under_one_quota(grid: Grid) -> None:
    async with grid.client() as client:
        account = account_of(grid, client)
        grid.ask("POST", "/admin/v1/plans", {"name": "tiny", "daily_tokens": 1})
        grid.ask("PUT", f"/admin/v1/accounts/{account}/plan", {"plan": "tiny"})
        jobs = {name: await submitted(client, name) for name in APIS}
        for job in jobs.values():
            await until_held(client, job)
        words = {name: APIS[name].word_in(await shown(client, name, job)) for name, job in jobs.items()}

        grid.ask("PUT", "/admin/v1/plans/tiny", {"daily_tokens": 100_000})
        after = {name: APIS[name].word_in(await ended(client, name, job)) for name, job in jobs.items()}

    assert words == {name: api.waiting[0] for name, api in APIS.items()}
    assert after == {name: api.over[0] for name, api in APIS.items()}


async def test_a_key_that_was_used_in_one_api_is_used_in_all(client: ApiClient) -> None:
    await submitted(client, "native", key="mine")
    answers = {name: await client.call("POST", api.submit, api.wish, key="mine") for name, api in APIS.items()}

    assert {name: answer.status for name, answer in answers.items()} == dict.fromkeys(APIS, 409) | {"native": 201}
    assert answers["infernet"].body["error"] == "conflict"
    assert answers["remotejobs"].body["success"] is False
    assert answers["openai"].body["error"]["type"] == "conflict"


async def test_a_webhook_is_sent_once_in_the_words_of_the_api_that_ordered_it(client: ApiClient) -> None:
    async with listening() as receiver:
        name = await client.submit(prompt="[[hang]]", webhook_url=f"{receiver.url}/")
        job = ids.from_uuid(name)
        await client.until(name, "running")
        canceled = await client.call("POST", f"/v1/jobs/{ids.as_base32(job)}/cancel")
        await receiver.received(1)
        for other in APIS:
            await ended(client, other, job)

        assert canceled.status == 200
        assert [request.body for request in receiver.requests] == [await bytes_of(client, name)]


@every_api
async def test_under_its_own_name_an_api_is_at_its_vendors_path_and_at_the_root(client: ApiClient, name: str) -> None:
    api = APIS[name]
    vendors = api.jobs.removeprefix("/infernet")
    job = await submitted(client, name)
    for path in (vendors, "/jobs"):
        async with client.session.get(f"{path}/{api.spell(job)}/", headers={"Host": f"{name}.example:8080"}) as answer:
            assert answer.status == 200, path
            assert api.word_in(await answer.json())


MODEL = {"native": "model", "openai": "model", "remotejobs": "tag", "infernet": "model"}


@every_api
async def test_each_failure_has_the_status_and_the_shape_of_its_api(grid: Grid, name: str) -> None:
    """A bug of ours, the 500, is tried in tests/unit/gateway/test_mounts.py."""
    api = APIS[name]
    unnamed = {field: value for field, value in api.wish.items() if field != MODEL[name]}
    told: dict[str, tuple[int, tuple[Any, ...]]] = {}

    async with grid.client() as client, ApiClient(grid.url, "glm_nobody_nothing") as nobody:

        async def tell(case: str, method: str, path: str, by: ApiClient = client, **options: Any) -> None:
            async with by.session.request(method, path, **options) as answer:
                assert answer.headers["X-Request-Id"], case
                assert answer.status != 429 or int(answer.headers["Retry-After"]) > 0
                told[case] = answer.status, SHAPES[name](await answer.json())

        await tell("no key", "POST", api.submit, nobody, json=api.wish)
        await tell("no route", "GET", f"{api.submit}/no/such/route")
        await tell("no job", "GET", f"{api.jobs}/{api.spell(a_job_id())}")
        await tell("wrong method", "PATCH", api.submit)
        await tell("no JSON", "POST", api.submit, data=b"{", headers=JSON)
        await tell("wrong field", "POST", api.submit, json=unnamed)
        await tell("no model", "POST", api.submit, json=api.wish | {MODEL[name]: "nobodys:1b"})
        await tell("large", "POST", api.submit, json=api.wish | {"more": "x" * MOST_BYTES})
        await tell("packed", "POST", api.submit, data=b"x", headers={"Content-Encoding": "gzip"})
        await one_call_a_minute(grid, client, name)
        for _ in range(3):  # the minute may turn after the first
            if told.get("too many", told["no job"]) == told["no job"]:
                await tell("too many", "GET", f"{api.jobs}/{api.spell(a_job_id())}")

    assert told == FAILURES[name]


async def one_call_a_minute(grid: Grid, client: ApiClient, name: str) -> None:
    """Put the client's account on a plan with one call a minute in this API."""
    plan = f"slow-{name}"
    grid.ask("POST", "/admin/v1/plans", {"name": plan, "rates": [{"group": name, "per_minute": 1}]})
    grid.ask("PUT", f"/admin/v1/accounts/{account_of(grid, client)}/plan", {"plan": plan})
