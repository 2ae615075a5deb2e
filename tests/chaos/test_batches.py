"""A batch whose gateway is killed while it hands in the lines: another goes on, and no line is lost or doubled."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import msgspec

from chaos.scene import PATIENCE_SECONDS, Scene
from gridloom_contract.registry import BLOB, GATEWAY
from gridloom_kit.mongo import open_database
from gridloom_local.running import Running
from gridloom_testing.clients import ApiClient
from gridloom_testing.grid import Grid

LINES = 1_000
LEASE_SECONDS = 3
CHAT = "/v1/chat/completions"


def a_line(number: int) -> bytes:
    """Return one line of the file."""
    body = {"model": "synthetic", "messages": [{"role": "user", "content": f"Line {number}. [[tokens=1]]"}]}
    return msgspec.json.encode({"custom_id": f"line-{number}", "method": "POST", "url": CHAT, "body": body})


async def uploaded(client: ApiClient) -> str:
    """Return the id of a file of lines."""
    form = aiohttp.FormData()
    form.add_field("purpose", "batch")
    form.add_field("file", b"\n".join(map(a_line, range(LINES))), filename="lines.jsonl")
    async with client.session.post("/v1/files", data=form) as answer:
        assert answer.status == 200
        return str((await answer.json())["id"])


async def until_some_are_in(grid: Grid) -> int:
    """Return how many jobs there are, as soon as there are some."""
    url = grid.mongo.url_of("admin", grid.database)
    async with open_database(url, grid.database) as database, asyncio.timeout(PATIENCE_SECONDS):
        while not (count := await database["jobs"].count_documents({})):
            await asyncio.sleep(0.005)
        return int(count)


async def until_completed(client: ApiClient, batch: str) -> dict[str, Any]:
    """Return the batch once it is completed."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (found := (await client.call("GET", f"/v1/batches/{batch}")).body)["status"] != "completed":
            await asyncio.sleep(0.2)
    return dict(found)


async def replaced(grid: Grid, gateway: Running) -> Running:
    """Return another gateway in place of this one, which is killed. What it had in hand is anybody's soon."""
    gateway.kill()
    other = grid.start(GATEWAY, batch_lease_seconds=LEASE_SECONDS)
    await grid.until_ready()
    return other


async def test_a_batch_whose_gateway_is_killed_loses_and_doubles_no_line(scene: Scene) -> None:
    [first] = (process for name, process in scene.grid.processes.items() if name.startswith(GATEWAY))
    scene.grid.start(BLOB)
    await scene.hire(slots=30)
    gateway = await replaced(scene.grid, first)
    order = {"input_file_id": await uploaded(scene.client), "endpoint": CHAT}
    batch = (await scene.client.call("POST", "/v1/batches", order)).body["id"]
    handed_in = await until_some_are_in(scene.grid)
    await replaced(scene.grid, gateway)
    assert handed_in < LINES

    ended = await until_completed(scene.client, batch)
    assert ended["request_counts"] == {"total": LINES, "completed": LINES, "failed": 0}
    async with scene.client.session.get(f"/v1/files/{ended['output_file_id']}/content") as answer:
        answers = [msgspec.json.decode(text) for text in (await answer.read()).splitlines()]
    assert [each["custom_id"] for each in answers] == [f"line-{number}" for number in range(LINES)]
    [output] = (await scene.client.call("GET", "/v1/files?purpose=batch_output")).body["data"]
    assert output["id"] == ended["output_file_id"]
    assert len((await scene.judge()).stored) == LINES
