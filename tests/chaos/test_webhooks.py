"""Whoever is killed, every job's end reaches its receiver: at least once, always with the same id and bytes."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from chaos.recovery import recovering
from e2e.hooks import HURRIED, assert_authentic, bytes_of, start_hooked
from gridloom_contract.registry import SCHEDULER, WEBHOOK
from gridloom_local.running import Running
from gridloom_testing.clients import ApiClient
from gridloom_testing.grid import Grid
from integration.webhook.receivers import Receiver, Request, after, listening

PATIENCE_SECONDS = 90.0
QUICK = HURRIED | {"total_seconds": 2.0, "lease_seconds": 4.0}
UNHURRIED = "[[tokens=3]] [[rate=50]]"


def process_of(grid: Grid, service: str) -> Running:
    """Return the process of a service that has only one."""
    [running] = [each for name, each in grid.processes.items() if name.startswith(f"{service}-") and each.is_alive]
    return running


async def submit(client: ApiClient, receiver: Receiver, count: int, prompt: str = UNHURRIED) -> list[str]:
    """Submit jobs with a webhook each."""
    wish = {"prompt": prompt, "webhook_url": f"{receiver.url}/hook"}
    return list(await asyncio.gather(*(client.submit(**wish) for _ in range(count))))


async def requests_of(receiver: Receiver, jobs: Sequence[str]) -> dict[str, list[Request]]:
    """Return the requests about each of the jobs once there is one about every one."""
    wanted = {job.replace("-", "") for job in jobs}
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            found: dict[str, list[Request]] = defaultdict(list)
            for request in receiver.requests:
                found[request.id.split("_")[1]].append(request)
            if wanted <= found.keys():
                return found
            await receiver.received(len(receiver.requests) + 1, PATIENCE_SECONDS)


async def test_killed_schedulers_and_webhook_services_lose_no_webhook(own_grid: Grid) -> None:
    start_hooked(own_grid, **QUICK)
    async with listening(after(0.05)) as receiver, own_grid.client() as client:
        jobs = await submit(client, receiver, 60)
        await receiver.received(10)

        process_of(own_grid, WEBHOOK).kill()
        process_of(own_grid, SCHEDULER).kill()
        with recovering("webhook service and scheduler killed: all webhooks arrive", 40):
            own_grid.start(SCHEDULER)
            own_grid.start(WEBHOOK, **QUICK)
            found = await requests_of(receiver, jobs)

        assert len(found) == len(jobs)
        for job in jobs:
            requests = found[job.replace("-", "")]
            assert len({request.id for request in requests}) == 1
            assert {request.body for request in requests} == {await bytes_of(client, job)}
            await assert_authentic(requests[-1], client)


async def test_what_ends_while_the_store_is_wiped_and_nobody_delivers_is_delivered_afterwards(own_grid: Grid) -> None:
    start_hooked(own_grid, **QUICK)
    async with listening() as receiver, own_grid.client() as client:
        process_of(own_grid, WEBHOOK).kill()
        jobs = await submit(client, receiver, 10)
        for job in jobs:
            await client.ended(job)

        own_grid.nats.wipe_store()
        own_grid.start(WEBHOOK, **QUICK)
        found = await requests_of(receiver, jobs)

        for job in jobs:
            [request] = found[job.replace("-", "")]
            assert request.body == await bytes_of(client, job)
            await assert_authentic(request, client)
