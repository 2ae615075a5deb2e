"""A job's text as readers follow it through real gateways and a real worker: early, late, twice, cut off, elsewhere."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from zlib import crc32

import aiohttp
import pytest

from chaos.gate import Gate, open_gate
from e2e.conftest import SLOW
from e2e.fronts import FRONTS, begun, gone_on
from e2e.openai_raw import CHAT, ChunkReader, asked, chat, streaming
from gridloom_contract.registry import BLOB, GATEWAY, WORKER
from gridloom_local.servers import LOOPBACK, free_port
from gridloom_testing.clients import JOBS, ApiClient
from gridloom_testing.grid import Grid, open_grid
from gridloom_testing.servers import Infra, MongoServer
from gridloom_worker.engines.synthetic import repeated, word
from integration.gateway.reading import StreamReader, reading

CROWD = 60
TOKENS = 60
PACE = f"[[tokens={TOKENS}]] [[rate=30]]"
HUGE = 16_000
"""Repeated so often, the tokens of an answer are more than the sockets between a gateway and its reader hold."""
FLAT = 1.2
SECOND = 1.0
TRIES = 5
"""On a busy machine anything may take long once; what waits for a poll or a timeout is late each time."""


@pytest.fixture(scope="module")
def grid(infra: Infra, mongo_server: MongoServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A grid whose worker has a slot for everyone."""
    with open_grid(infra, mongo_server, tmp_path_factory.mktemp("streams")) as opened:
        opened.start_all(BLOB, slots=CROWD + 4)
        yield opened


async def read_words(reader: StreamReader, count: int) -> None:
    """Read until so many words have come."""
    while len(reader.text.split()) < count:
        name, _ = await reader.next()
        assert name != "done", f"the job ended with {reader.text!r}"


async def test_every_reader_sees_the_same_text(client: ApiClient, beside: ApiClient) -> None:
    job = await client.submit(prompt=SLOW)
    async with reading(client, job) as early:
        await read_words(early, 10)
        async with reading(client, job) as late, reading(beside, job) as elsewhere:
            readers = [early, late, elsewhere]
            documents = [await reader.until_done() for reader in readers]

    output = (await client.job(job))["output"]
    assert [reader.text for reader in readers] == [output] * 3
    assert [document["output"] for document in documents] == [output] * 3
    assert len(output.split()) == 60


async def test_a_reader_sees_the_states_the_words_one_by_one_and_the_document(client: ApiClient) -> None:
    job = await client.submit(prompt=SLOW)
    tokens = 0
    async with reading(client, job) as reader:
        while (event := await reader.next())[0] != "done":
            tokens += event[0] == "token"

    assert reader.statuses[-1] == "running"
    assert tokens > 5
    assert reader.resets == 0
    assert event[1] == await client.job(job)


async def test_a_reader_that_was_cut_off_goes_on_at_another_gateway(client: ApiClient, beside: ApiClient) -> None:
    job = await client.submit(prompt=SLOW)
    async with reading(client, job) as first:
        await read_words(first, 10)
    async with reading(beside, job, first.last_id) as second:
        await read_words(second, 10)
    async with reading(client, job, second.last_id) as third:
        document = await third.until_done()

    assert first.text + second.text + third.text == document["output"]
    assert first.resets + second.resets + third.resets == 0


async def test_after_the_end_the_text_is_replayed_from_the_start_or_from_where_a_reader_was(
    client: ApiClient, beside: ApiClient
) -> None:
    job = await client.submit(prompt=SLOW)
    async with reading(client, job) as cut_off:
        await read_words(cut_off, 10)
    output = (await client.ended(job))["output"]

    async with reading(beside, job) as replay, reading(beside, job, cut_off.last_id) as rest:
        await replay.until_done()
        await rest.until_done()

    assert replay.text == output
    assert cut_off.text + rest.text == output


async def test_the_stream_of_a_canceled_job_ends_with_what_was_said(client: ApiClient, beside: ApiClient) -> None:
    job = await client.submit(prompt="[[tokens=5]] [[hang]]")
    async with reading(beside, job) as reader:
        await read_words(reader, 5)
        await client.call("POST", f"{JOBS}/{job}/cancel")
        document = await reader.until_done()

    assert (document["status"], document["cancelled"]) == ("failed", True)
    assert "output" not in document


async def test_a_crowd_hears_every_token_in_order_beside_a_reader_that_takes_nothing_yet(
    grid: Grid, client: ApiClient
) -> None:
    prompts = [f"reader {number} {PACE}" for number in range(CROWD)]
    async with AsyncExitStack() as stack:
        slow = await stack.enter_async_context(dawdling(client, f"{PACE} [[repeat={HUGE}]]"))
        readers = [await stack.enter_async_context(streaming(client, prompt)) for prompt in prompts]
        await everyone(reader.words(5) for reader in readers)
        early = await memory_of_gateway(grid)
        await everyone(reader.words(TOKENS - 5) for reader in readers)
        late = await memory_of_gateway(grid)
        await everyone(reader.to_the_end() for reader in readers)
        await slow.to_the_end()

    assert [reader.text for reader in readers] == [answer_to(prompt) for prompt in prompts]
    assert slow.text == answer_to(f"{PACE} [[repeat={HUGE}]]", HUGE)
    assert all(reader.is_done and not reader.errors for reader in (*readers, slow))
    assert late < FLAT * early


async def test_streams_of_every_api_go_on_at_another_gateway_when_theirs_is_killed(
    grid: Grid, client: ApiClient
) -> None:
    port = free_port()
    mortal = grid.start(GATEWAY, port=port)
    await grid.until_ready()
    prompts = {name: f"{name} {PACE}" for name in FRONTS}
    async with ApiClient(f"http://{LOOPBACK}:{port}", client.key) as there, AsyncExitStack() as stack:
        cut_off = {
            name: await stack.enter_async_context(begun(front, there, prompts[name])) for name, front in FRONTS.items()
        }
        await everyone(reading.words(10) for reading in cut_off.values())
        mortal.kill()
        for reading in cut_off.values():
            with pytest.raises(aiohttp.ClientError):
                await reading.to_the_end()
        rest = {
            name: await stack.enter_async_context(gone_on(front, client, cut_off[name].job, cut_off[name].last_id))
            for name, front in FRONTS.items()
        }
        await everyone(reading.to_the_end() for reading in rest.values())

    assert {name: cut_off[name].text + rest[name].text for name in FRONTS} == {
        name: answer_to(prompt) for name, prompt in prompts.items()
    }


async def test_who_disconnects_frees_the_engine_within_a_second(grid: Grid, client: ApiClient) -> None:
    async with open_gate("gated") as gate:
        worker = grid.start(WORKER, grid.enrol(), slots=1, **gate.engine("gated"))
        await grid.until_ready()
        freed = [
            await fastest(lambda: freed_after(gate, asked(client, model="gated"))),
            await fastest(lambda: freed_after(gate, read_all(client, model="gated"))),
        ]
        worker.kill()

    assert max(freed) < SECOND


def answer_to(prompt: str, times: int = 1) -> str:
    """Return what the synthetic engine says."""
    return "".join(repeated(word(crc32(prompt.encode()), index), times) for index in range(TOKENS))


async def everyone(readings: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Have all read at once."""
    async with asyncio.TaskGroup() as group:
        for one in readings:
            group.create_task(one)


@asynccontextmanager
async def dawdling(client: ApiClient, prompt: str) -> AsyncIterator[ChunkReader]:
    """Ask for a stream, with so little room for it that nearly all of it stays with the gateway until it is read."""

    def narrow(address: Any) -> socket.socket:
        wire = socket.socket(*address[:3])
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        return wire

    connector = aiohttp.TCPConnector(socket_factory=narrow)
    headers = {"Authorization": f"Bearer {client.key}"}
    async with (
        aiohttp.ClientSession(client.url, connector=connector, headers=headers, read_bufsize=16 * 1024) as session,
        session.post(CHAT, json=chat(prompt, stream=True)) as answer,
    ):
        yield ChunkReader(answer)


async def memory_of_gateway(grid: Grid) -> float:
    """Return how many bytes the first gateway has in memory."""
    port = next(process.server.port for name, process in grid.processes.items() if name.startswith(GATEWAY))
    async with aiohttp.ClientSession() as session, session.get(f"http://{LOOPBACK}:{port}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("process_resident_memory_bytes "))


async def read_all(client: ApiClient, **fields: Any) -> None:
    """Read a stream to its end."""
    async with streaming(client, "Say hello", **fields) as reader:
        await reader.to_the_end()


async def freed_after(gate: Gate, visit: Coroutine[Any, Any, Any]) -> float:
    """Return how many seconds after its client left the engine heard of it."""
    async with asyncio.TaskGroup() as group:
        visiting = group.create_task(visit)
        await gate.until_inside(1)
        left_at = asyncio.get_running_loop().time()
        visiting.cancel()
    await gate.until_left()
    return gate.left_at - left_at


async def fastest(measure: Callable[[], Awaitable[float]]) -> float:
    """Return the first time that is within a second, else the shortest of all tries."""
    found: list[float] = []
    while len(found) < TRIES and not (found and found[-1] < SECOND):
        found.append(await measure())
    return min(found)
