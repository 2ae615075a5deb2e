"""A gateway holds nothing: whoever lost theirs goes on at another, and at the same one once it is back."""

from __future__ import annotations

import asyncio

import aiohttp

from chaos.gate import ANSWER, open_gate
from chaos.recovery import recovering
from chaos.scene import Scene, second_gateway
from gridloom_contract.registry import GATEWAY
from gridloom_testing.clients import ApiClient
from integration.gateway.reading import StreamReader, reading


async def until_cut_off(reader: StreamReader) -> None:
    """Read on until the line breaks."""
    try:
        while True:
            name, _ = await reader.next()
            assert name != "done", "the job ended before its gateway did"
    except (StopAsyncIteration, aiohttp.ClientError):
        return


async def test_clients_and_readers_of_a_gateway_that_is_killed_go_on_at_the_other_and_at_its_successor(
    scene: Scene,
) -> None:
    [gateway] = (process for name, process in scene.grid.processes.items() if name.startswith(GATEWAY))
    beside_url = await second_gateway(scene.grid)
    async with ApiClient(beside_url, scene.client.key) as beside, open_gate("gated") as gate:
        await scene.hire(slots=20, **gate.engine("gated"))
        await scene.hire(slots=20)
        [job] = await scene.submit(model="gated")
        await gate.until_inside(1)
        async with reading(scene.client, job) as reader:
            while not reader.text:
                await reader.next()
            async with asyncio.TaskGroup() as clients:
                for _ in range(200):
                    clients.create_task(scene.insist(scene.client, beside))
                await scene.until_accepted(10)
                gateway.kill()
                with recovering("gateway killed: a client is served by the other", 3):
                    await scene.until_accepted(1)
            await until_cut_off(reader)
        async with reading(beside, job, reader.last_id) as resumed:
            gate.opened.set()
            document = await resumed.until_done()

        scene.grid.start(GATEWAY)
        await scene.grid.until_ready()
        async with reading(scene.client, job, reader.last_id) as again:
            await again.until_done()
        await scene.submit(20)
        history = await scene.judge()

    assert reader.text + resumed.text == reader.text + again.text == document["output"] == ANSWER
    assert resumed.resets == again.resets == 0
    assert {document["state"] for document in history.stored.values()} == {"succeeded"}
