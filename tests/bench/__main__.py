"""`make bench`: every figure of the durable path beside the floor measured in the same run, as a table and as JSON."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import uvloop
from rich.console import Console

from gridloom_kit.bus import open_bus
from gridloom_kit.settings import ServiceSettings
from gridloom_local.servers import nats_server_binary
from tests.bench import floors, measures, services, streams
from tests.bench.chat import Server, added_to, chats
from tests.bench.figures import Bound, Figures
from tests.bench.grid import Grid, child, free_port, running_grid, wait_for_model, worker
from tests.bench.litellm import PEER, litellm
from tests.bench.upstream import MODEL

_CLIENTS = ((1, 200), (16, 40), (64, 20))
_NOOP_MODEL = "bench:instant"
_ASLEEP_MODEL = "bench:asleep"
_ENGINE = "engine"
_RESULTS = Path(".bench") / "latest.json"

BOUNDS = (
    Bound("submissions", "bare aiohttp", 0.06),
    Bound("submit → stored result", "bare JetStream", 0.02),
    Bound("jobs with quota, usage and webhook service", "jobs without quota, usage and webhooks", 0.85),
    Bound("durable path p50, 64 clients", "direct engine call p50, 64 clients", 60, at_least=False),
    Bound("grid: chats, 64 clients", f"{PEER}: chats, 64 clients", 5, is_optional=True),
    *(
        Bound(added_to("grid", name), added_to(PEER, name), 0.6, at_least=False, is_optional=True)
        for name in ("chat p50, 1 clients", "first token p50, 1 clients")
    ),
    *streams.BOUNDS,
)
"""Wide enough for a noisy machine, tight enough to catch a design that went wrong."""


async def measure(figures: Figures, console: Console, home: Path) -> None:
    """Run all measurements, the floors first."""
    port = free_port()
    upstream = f"http://127.0.0.1:{port}"
    with child([sys.executable, "-m", "tests.bench.upstream", str(port)], home / "upstream.log"):
        console.print("floors: HTTP, JetStream, engine …")
        await floors.wait_until_open(port)
        await floors.bare_http(figures, upstream, 64)
        await _floor_of_jetstream(figures, home)
        for clients, calls in _CLIENTS:
            await floors.direct_engine(figures, upstream, MODEL, clients, calls)
        await measures.direct_tokens(figures, upstream)
        async with AsyncExitStack() as stack:
            others = await _others(console, stack, home, upstream)
            console.print("grid: starting …")
            with running_grid(home / "grid") as grid:
                # What is held against others comes first: like them the grid is fresh, and nothing else is left in it.
                console.print("chats: everybody in turns …")
                await _chats(figures, grid, upstream, others)
                await stack.aclose()
                await _measure_grid(figures, console, grid, upstream)


async def _chats(figures: Figures, grid: Grid, upstream: str, others: Sequence[Server]) -> None:
    peer = PEER if any(server.name == PEER for server in others) else None
    with _relay(grid, upstream):
        await chats(figures, (*others, Server("grid", grid.url, grid.api_key, _ENGINE, peer)))


@contextmanager
def _relay(grid: Grid, upstream: str) -> Iterator[None]:
    """A worker that hands on to the engine, for the time of the block."""
    with worker(grid, "relay", "--engine", "openai_http", "--url", upstream + "/v1", "--slots", "64"):
        wait_for_model(grid, MODEL)
        yield


async def _measure_grid(figures: Figures, console: Console, grid: Grid, upstream: str) -> None:
    await _through_the_grid(figures, console, grid, upstream)
    with worker(grid, "sleeper", "--engine", "synthetic", "--models", _ASLEEP_MODEL):
        wait_for_model(grid, _ASLEEP_MODEL)  # known from now on, and soon served by nobody
    console.print("grid: submissions …")
    await measures.submissions(figures, grid, _ASLEEP_MODEL, 64)
    instant = ("--engine", "synthetic", "--models", _NOOP_MODEL, "--slots", "128", "--synthetic-tokens", "1")
    with worker(grid, "instant", *instant):
        wait_for_model(grid, _NOOP_MODEL)
        console.print("grid: no-op jobs …")
        rate = await measures.noop_jobs(grid, _NOOP_MODEL, 64)
        figures.add("submit → stored result", rate, "jobs/s", "bare JetStream")
        console.print("grid: quota, usage and webhooks …")
        await services.cost_of_services(figures, grid, _NOOP_MODEL)
        await services.webhooks(figures, grid, _NOOP_MODEL)
    await _crowd(figures, console, grid)


async def _through_the_grid(figures: Figures, console: Console, grid: Grid, upstream: str) -> None:
    with _relay(grid, upstream):
        console.print("grid: latency …")
        for clients, calls in _CLIENTS:
            await measures.durable_latency(figures, grid, clients, calls)
        console.print("grid: tokens …")
        await measures.relayed_tokens(figures, grid)


async def _crowd(figures: Figures, console: Console, grid: Grid) -> None:
    paced = ("--engine", "synthetic", "--models", streams.MODEL, "--slots", str(streams.SLOTS))
    with worker(grid, "paced-1", *paced), worker(grid, "paced-2", *paced):
        wait_for_model(grid, streams.MODEL, workers=2)
        console.print("grid: 500 streams …")
        await streams.many_streams(figures, grid)


async def _others(console: Console, stack: AsyncExitStack, home: Path, upstream: str) -> tuple[Server, ...]:
    """Start what the grid is read beside: the engine itself, a bare proxy, and LiteLLM's."""
    port = free_port()
    passthrough = [sys.executable, "-m", "tests.bench.passthrough", str(port), upstream]
    stack.enter_context(child(passthrough, home / "passthrough.log"))
    await floors.wait_until_open(port)
    peer = stack.enter_context(litellm(home, upstream, _ENGINE))
    if peer is None:
        console.print("LiteLLM is not installed: `make bench-peers`")
    proxy = Server("bare proxy", f"http://127.0.0.1:{port}", floor=_ENGINE)
    return (Server(_ENGINE, upstream), proxy, *([peer] if peer else []))


async def _floor_of_jetstream(figures: Figures, home: Path) -> None:
    port = free_port()
    store = home / "floor-store"
    command = [str(nats_server_binary()), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(store)]
    with child(command, home / "floor-nats.log"):
        async with open_bus(ServiceSettings(nats_url=f"nats://127.0.0.1:{port}"), "bench") as bus:
            await floors.bare_jetstream(figures, bus, "wfloor")


def main() -> int:
    """Measure, print, write, judge. Returns 1 if a bound does not hold."""
    console, figures = Console(), Figures()
    home = Path(tempfile.mkdtemp(prefix="gridloom-bench-"))
    try:
        uvloop.run(measure(figures, console, home))
    except BaseException:
        console.print(f"the benchmark did not finish; logs are in {home}", style="red")
        raise
    figures.show(console)
    figures.write(_RESULTS)
    console.print(f"written to {_RESULTS}")
    broken = figures.broken(BOUNDS)
    for sentence in broken:
        console.print(f"bound broken: {sentence}", style="red")
    shutil.rmtree(home)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
