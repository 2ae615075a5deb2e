"""The remote jobs API through real processes, by raw HTTP as its page shows it (seeds/001; API.md §5, calls 52–55)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from e2e.shelf import Shelf
from gridloom_contract.registry import BLOB, GATEWAY, WORKER
from gridloom_domain import ids
from gridloom_local.servers import LOOPBACK, free_port
from gridloom_testing.admission import worker_of
from gridloom_testing.builders import a_job_id
from gridloom_testing.clients import Answer, ApiClient
from gridloom_testing.grid import Grid, open_grid
from gridloom_testing.servers import Infra, MongoServer

JOBS = "/remotejobs/v2/jobs"
APP = "gridrepublic:text-inference"
CREATED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00")
OVER = frozenset({"finished", "error", "cancelled"})
SLOW = "[[tokens=40]] [[rate=40]]"


@pytest.fixture(scope="module")
def grid(infra: Infra, mongo_server: MongoServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A grid that keeps large things, too."""
    with open_grid(infra, mongo_server, tmp_path_factory.mktemp("remotejobs")) as opened:
        opened.start_all(BLOB)
        yield opened


def command(*inputs: str) -> str:
    """Return a command line as the page writes it, blanks included."""
    return f'{{"inputs": {msgspec.json.encode(inputs).decode()} }}'


def wish(*inputs: str, **fields: Any) -> dict[str, Any]:
    return {"app": APP, "commandLine": command(*(inputs or ("Say hello",))), "tag": "synthetic"} | fields


async def submitted(client: ApiClient, *inputs: str, **fields: Any) -> list[str]:
    answer = await client.call("POST", JOBS, wish(*inputs, **fields))
    assert (answer.status, answer.body["success"]) == (200, True), answer.body
    return list(answer.body["ids"])


async def shown(client: ApiClient, *jobs: str, comma: str = ",") -> dict[str, Any]:
    async with client.session.get(f"{JOBS}/{comma.join(jobs)}") as answer:
        body = msgspec.json.decode(await answer.read())
        assert (answer.status, body["success"]) == (200, True), body
        return dict(body["jobs"])


async def logs_until(client: ApiClient, job: str, *words: str, within_seconds: float = 30.0) -> list[str]:
    """Poll until the job has one of these statuses; return all logs that were shown."""
    logs: list[str] = []
    async with asyncio.timeout(within_seconds):
        while True:
            default = (await shown(client, job))[job]["states"]["default"]
            logs.append(default["log"])
            if default["status"] in (words or OVER):
                return logs
            await asyncio.sleep(0.05)


def only_grow(logs: list[str]) -> bool:
    return all(later.startswith(earlier) for earlier, later in pairwise(logs))


async def refusal(answer: Answer) -> int:
    assert list(answer.body) == ["success", "error"], answer.body
    assert answer.body["success"] is False
    assert isinstance(answer.body["error"], str)
    assert answer.body["error"]
    return answer.status


async def test_a_job_is_submitted_runs_and_is_finished(client: ApiClient) -> None:
    answer = await client.call("POST", JOBS, wish(SLOW))
    assert list(answer.body) == ["success", "ids"]
    (job,) = answer.body["ids"]
    assert re.fullmatch(r"[0-9a-f]{32}", job)

    await logs_until(client, job, "running")
    await logs_until(client, job, "finished")
    document = (await shown(client, job))[job]

    assert list(document) == ["vmStatus", "states", "created", "copy", "tag", "runtime"]
    assert (document["vmStatus"], document["copy"], document["tag"]) == ("finished", 0, "synthetic")
    assert CREATED.fullmatch(document["created"])
    assert isinstance(document["runtime"], int)
    assert list(document["states"]) == ["default"]
    default = document["states"]["default"]
    assert list(default) == ["status", "outputFiles", "log", "commandLine", "app"]
    assert (default["status"], default["outputFiles"], default["app"]) == ("finished", [], APP)
    assert len(default["log"].split()) == 40


@pytest.mark.parametrize(
    "text",
    [
        '{"inputs": ["When does 1+1=10?"] }',
        '{ "other":1.50,\n"inputs":["\\u00e9\\ud83d\\ude00 \\"quoted\\" \\/"]}',
        '{"inputs":["é😀\u2028"]}',
    ],
)
async def test_the_command_line_comes_back_byte_for_byte(client: ApiClient, text: str) -> None:
    (job,) = await submitted(client, commandLine=text)

    assert (await shown(client, job))[job]["states"]["default"]["commandLine"] == text


async def test_a_command_line_of_a_megabyte_comes_back_too(client: ApiClient) -> None:
    text = command("[[tokens=3]] " + 'so "many" words ' * 70_000)
    (job,) = await submitted(client, commandLine=text)
    await logs_until(client, job)

    default = (await shown(client, job))[job]["states"]["default"]
    assert default["commandLine"] == text
    assert (default["status"], len(default["log"].split())) == ("finished", 3)


async def test_a_log_of_a_megabyte_is_shown_among_others(client: ApiClient) -> None:
    (small,) = await submitted(client)
    (large,) = await submitted(client, "[[tokens=10]] [[repeat=20000]]")
    await logs_until(client, small)
    await logs_until(client, large)

    jobs = await shown(client, small, large, small)

    assert list(jobs) == [small, large]
    assert len(jobs[large]["states"]["default"]["log"].split()) == 200_000
    assert len(jobs[small]["states"]["default"]["log"].split()) == 16


async def test_several_inputs_are_answered_in_order_with_a_blank_line_between(client: ApiClient) -> None:
    (job,) = await submitted(client, "[[tokens=2]] one", "[[tokens=3]] two", "[[tokens=4]] three")
    *_, log = await logs_until(client, job)

    assert [len(part.split()) for part in log.split("\n\n")] == [2, 3, 4]


async def test_copies_have_ids_of_their_own(client: ApiClient) -> None:
    names = await submitted(client, copies=3)
    jobs = await shown(client, *names)

    assert len(set(names)) == 3
    assert [jobs[name]["copy"] for name in names] == [0, 1, 2]


@pytest.mark.parametrize("comma", [",", "%2C", "%2c", ",,"])
async def test_several_jobs_are_asked_for_at_once(client: ApiClient, comma: str) -> None:
    names = [*await submitted(client), *await submitted(client)]

    assert list(await shown(client, *names, comma=comma)) == names
    assert list(await shown(client, a_job_id(), names[1], "nonsense", comma=comma)) == [names[1]]


async def test_a_job_that_nobody_knows_is_not_found(client: ApiClient, grid: Grid) -> None:
    (job,) = await submitted(client)
    unknown = [a_job_id(), "nonsense", ids.as_uuid(job), f"{a_job_id()},{a_job_id()}", job.upper()]

    assert {await refusal(await client.call("GET", f"{JOBS}/{name}")) for name in unknown} == {404}
    async with grid.client() as stranger:
        assert await refusal(await stranger.call("GET", f"{JOBS}/{job}")) == 404


async def test_the_log_grows_while_the_job_runs_and_never_shrinks(client: ApiClient) -> None:
    (job,) = await submitted(client, SLOW)
    logs = await logs_until(client, job)

    assert only_grow(logs)
    assert len(set(logs)) > 5
    assert len(logs[-1].split()) == 40


async def test_the_log_does_not_shrink_when_the_job_starts_over(grid: Grid, client: ApiClient, shelf: Shelf) -> None:
    other = grid.enrol()
    first = grid.start(WORKER, other, models=shelf.model, slots=1)
    grid.wait_until_ready()
    (job,) = await submitted(client, SLOW, tag=shelf.model)
    logs = await logs_until(client, job, "running")
    async with asyncio.timeout(20):
        while len(logs[-1].split()) < 10:
            logs += await logs_until(client, job, "running")
    shelf.resume()
    first.kill()
    logs += await logs_until(client, job)

    assert worker_of(other)
    assert only_grow(logs)
    assert len(logs[-1].split()) == 40


async def test_a_job_that_fails_keeps_its_log_and_says_why(client: ApiClient) -> None:
    (job,) = await submitted(client, "[[tokens=5]] [[rate=20]] [[reject]]")
    logs = await logs_until(client, job)
    default = (await shown(client, job))[job]["states"]["default"]

    assert (default["status"], len(default["log"].split())) == ("error", 5)
    assert default["error"]
    assert only_grow([*logs, default["log"]])


async def test_a_job_runs_for_as_many_hours_as_it_is_given(client: ApiClient) -> None:
    (job,) = await submitted(client, "[[hang]]", hours=0.0003)
    logs = await logs_until(client, job)
    document = (await shown(client, job))[job]

    assert only_grow(logs)
    assert document["vmStatus"] == "cancelled"
    assert document["runtime"] == 1


WRONG = {
    "app": {"app": "gridrepublic:other"},
    "no app": {"app": ...},
    "no tag": {"tag": ...},
    "an empty tag": {"tag": ""},
    "an unknown model": {"tag": "nobodys:1b"},
    "no command line": {"commandLine": ...},
    "a command line that is an object": {"commandLine": {"inputs": ["x"]}},
    "a command line that is no JSON": {"commandLine": "inputs"},
    "a command line without inputs": {"commandLine": "{}"},
    "no inputs": {"commandLine": '{"inputs":[]}'},
    "an empty input": {"commandLine": '{"inputs":[""]}'},
    "inputs that are no list": {"commandLine": '{"inputs":"hello"}'},
    "inputs that are no texts": {"commandLine": '{"inputs":[1]}'},
    "a list": {"commandLine": '["hello"]'},
    "a deep command line": {"commandLine": '{"inputs":["x"],"y":' + "[" * 100_000 + "}"},
    "no copies": {"copies": 0},
    "too many copies": {"copies": 17},
    "half a copy": {"copies": 1.5},
    "no hours": {"hours": 0},
    "too many hours": {"hours": 1000},
}


async def test_what_is_wrong_is_refused_with_200_and_success_false(client: ApiClient) -> None:
    for case, change in WRONG.items():
        body = {name: value for name, value in wish(**change).items() if value is not ...}
        assert await refusal(await client.call("POST", JOBS, body)) == 200, case
    assert await refusal(await client.call("GET", f"{JOBS}/{','.join(a_job_id() for _ in range(101))}")) == 200


async def test_every_other_error_has_the_same_shape(grid: Grid, client: ApiClient) -> None:
    async with ApiClient(grid.url, "glm_nobody_nothing") as nobody:
        assert await refusal(await nobody.call("GET", f"{JOBS}/{a_job_id()}")) == 401
    assert await refusal(await client.call("GET", "/remotejobs/v2/nothing")) == 404
    assert await refusal(await client.call("GET", JOBS)) == 405
    assert await refusal(await client.call("DELETE", f"{JOBS}/{a_job_id()}")) == 405
    for body, headers, status in (
        (b"{", {}, 200),
        (b"", {}, 200),
        (b"x", {"Content-Encoding": "gzip"}, 415),
        (b"x", {"Content-Type": "multipart/form-data; boundary=x"}, 415),
    ):
        async with client.session.post(JOBS, data=body, headers=headers) as answer:
            assert (answer.status, (await answer.json())["success"]) == (status, False)


async def test_a_repeated_submission_makes_the_same_copies(client: ApiClient) -> None:
    answers = [await client.call("POST", JOBS, wish(copies=2), key="once") for _ in range(2)]

    assert answers[0].body["ids"] == answers[1].body["ids"]
    assert answers[1].headers["Idempotent-Replayed"] == "true"
    assert await refusal(await client.call("POST", JOBS, wish(copies=3), key="once")) == 409


async def test_the_words_for_states_are_the_operators(grid: Grid, client: ApiClient) -> None:
    port = free_port()
    grid.start(GATEWAY, port=port, remotejobs_words=("succeeded=done", "running=busy"))
    grid.wait_until_ready()
    (job,) = await submitted(client)
    await logs_until(client, job)

    async with ApiClient(f"http://{LOOPBACK}:{port}", client.key) as elsewhere:
        document = (await shown(elsewhere, job))[job]

    assert (document["vmStatus"], document["states"]["default"]["status"]) == ("done", "done")
