"""Where each API is served, and that whatever fails there is told in its own words."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gridloom_contract.fault import FaultCode
from gridloom_gateway.app import DIALECTS
from gridloom_kit.settings import SettingsError
from unit.gateway.mounted import RATE, Client, dialects, served

SHAPES: dict[str, set[str]] = {
    "native": {"error", "message", "request_id"},
    "openai": {"error", "detail"},
    "remotejobs": {"success", "error"},
    "infernet": {"error", "error_message"},
}
ALL = {dialect.name: dialect for dialect in dialects()}
MOUNTS = {
    "native": ("/api/v1", "/api/v1/v1", "/vibe/api/v1", "/vibe/api/v1/v1"),
    "openai": ("/v1", "/openai/v1"),
    "remotejobs": ("/remotejobs/v2", "/gridrepublic/remotejobs/v2"),
    "infernet": ("/infernet/api/v1",),
}
PLACES = [(name, mount) for name, mounts in MOUNTS.items() for mount in mounts]

every_dialect = pytest.mark.parametrize("name", ALL)
every_place = pytest.mark.parametrize(("name", "mount"), PLACES)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with served() as client:
        yield client


async def asked(client: Client, path: str, method: str = "GET", **options: Any) -> tuple[int, dict[str, Any]]:
    async with client.request(method, path, **options) as answer:
        body: dict[str, Any] = await answer.json()
        return answer.status, body


def test_every_dialect_of_the_table_is_tried_here() -> None:
    assert set(ALL) == set(SHAPES) == set(MOUNTS)
    assert [row.mounts for row in DIALECTS] == [MOUNTS[name] for name in ALL]


@every_place
async def test_a_dialect_is_served_at_its_mount_and_its_aliases(client: Client, name: str, mount: str) -> None:
    for slash in ("", "/"):
        status, body = await asked(client, f"{mount}/things/a{slash}")
        assert (status, body["id"]) == (200, "a")


@every_place
async def test_each_mount_describes_itself(client: Client, name: str, mount: str) -> None:
    status, document = await asked(client, f"{mount}/openapi.json")

    assert (status, document["servers"]) == (200, [{"url": mount}])
    assert set(document["paths"]) == {re.sub(r":[^}]*", "", route.path) for route in ALL[name].routes}
    assert document["info"]["title"] == f"Gridloom: {name}"


@every_dialect
async def test_every_fault_has_the_shape_and_the_status_of_its_api(client: Client, name: str) -> None:
    for code in FaultCode:
        status, body = await asked(client, f"{MOUNTS[name][0]}/failures/{code}")

        assert status == ALL[name].statuses[code], code
        assert set(body) == SHAPES[name], code
        assert "as told" in str(body), code


@every_dialect
async def test_a_wait_is_told_in_the_header_of_http(client: Client, name: str) -> None:
    async with client.get(f"{MOUNTS[name][0]}/failures/rate_limited") as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "7")


@every_place
async def test_an_unknown_path_below_a_mount_is_a_404_of_its_api(client: Client, name: str, mount: str) -> None:
    for path in ("/nothing", "/", "", "/failures"):
        status, body = await asked(client, f"{mount}{path}")
        assert (status, set(body)) == (404, SHAPES[name]), path


@every_dialect
async def test_a_wrong_method_is_a_405_of_its_api(client: Client, name: str) -> None:
    async with client.delete(f"{MOUNTS[name][0]}/things/a") as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "GET")
        assert set(await answer.json()) == SHAPES[name]


@every_dialect
async def test_a_bug_is_a_500_of_its_api_that_says_nothing(client: Client, name: str) -> None:
    status, body = await asked(client, f"{MOUNTS[name][0]}/burst")

    assert (status, set(body)) == (500, SHAPES[name])
    assert "secret" not in str(body)


@every_dialect
async def test_rate_headers_are_on_every_answer_of_an_api_that_has_them(client: Client, name: str) -> None:
    has_them = ALL[name].rate_headers is not None
    for path in ("/things/a", "/nothing", "/burst", "/failures/unauthenticated"):
        async with client.get(f"{MOUNTS[name][0]}{path}") as answer:
            assert (answer.headers.get("X-Toy-Rate") == RATE["X-Toy-Rate"]) is has_them, path


async def test_what_is_below_no_mount_is_told_in_native_words(client: Client) -> None:
    for path in ("/", "/api", "/api/v2/jobs", "/infernet", "/remotejobs/v1/jobs"):
        status, body = await asked(client, path)
        assert (status, set(body)) == (404, SHAPES["native"]), path


HOST = {"Host": "grid.example"}


@every_dialect
async def test_under_its_own_name_an_api_is_where_its_vendor_has_it_and_at_the_root(name: str) -> None:
    async with served(f"grid.example={name}") as client:
        for mount in ALL[name].own_mounts:
            status, body = await asked(client, f"{mount}/things/a", headers=HOST)
            assert (status, body["id"]) == (200, "a"), mount
            status, body = await asked(client, f"{mount}/nothing", headers=HOST)
            assert (status, set(body)) == (404, SHAPES[name]), mount
            status, body = await asked(client, f"{mount}/burst", headers=HOST)
            assert (status, set(body)) == (500, SHAPES[name]), mount
        assert (await asked(client, "/openapi.json", headers=HOST))[1]["info"]["title"] == f"Gridloom: {name}"
        assert (await asked(client, "/docs", headers=HOST))[0] == 200


async def test_under_its_own_name_everything_else_is_where_it_always_is() -> None:
    async with served("grid.example=infernet") as client:
        assert set((await asked(client, "/api/v1/nothing", headers=HOST))[1]) == SHAPES["infernet"]
        assert set((await asked(client, "/remotejobs/v2/nothing", headers=HOST))[1]) == SHAPES["remotejobs"]
        assert set((await asked(client, "/infernet/api/v1/nothing", headers=HOST))[1]) == SHAPES["infernet"]


async def test_another_name_knows_nothing_of_it() -> None:
    async with served("grid.example=infernet", "other.example/jobs=remotejobs") as client:
        for host in ({}, {"Host": "elsewhere.example"}, {"Host": "sub.grid.example"}, {"Host": "other.example"}):
            assert set((await asked(client, "/api/v1/nothing", headers=host))[1]) == SHAPES["native"]
            assert (await asked(client, "/things/a", headers=host))[0] == 404


async def test_one_name_may_have_several_apis_each_at_its_path() -> None:
    async with served("grid.example/api/v1=infernet", "grid.example/gr=remotejobs") as client:
        for path, name in (("/api/v1", "infernet"), ("/gr", "remotejobs"), ("/vibe/api/v1", "native"), ("", "native")):
            assert set((await asked(client, f"{path}/nothing", headers=HOST))[1]) == SHAPES[name], path
        assert (await asked(client, "/gr/things/a", headers=HOST))[0] == 200


@pytest.mark.parametrize("host", ["grid.example:8080", "GRID.example", "grid.example."])
async def test_a_name_is_known_with_any_port_and_in_any_case(host: str) -> None:
    async with served("grid.example=infernet") as client:
        assert (await asked(client, "/things/a", headers={"Host": host}))[0] == 200


async def test_a_forwarded_name_counts_from_a_trusted_proxy_only() -> None:
    forwarded = {"X-Forwarded-Host": "grid.example"}
    async with (
        served("grid.example=infernet", trusted=("127.0.0.0/8",)) as behind,
        served("grid.example=infernet") as alone,
    ):
        assert (await asked(behind, "/things/a", headers=forwarded))[0] == 200
        assert (await asked(alone, "/things/a", headers=forwarded))[0] == 404


@pytest.mark.parametrize(
    "row",
    ["", "infernet", "grid.example", "grid.example=nothing", "grid.example=admin", "a b=infernet", "a/{x}=infernet"],
)
async def test_a_row_that_says_nothing_is_refused_by_its_text(row: str) -> None:
    with pytest.raises(SettingsError, match="MOUNTS"):
        async with served("fine.example=infernet", row):
            pass
