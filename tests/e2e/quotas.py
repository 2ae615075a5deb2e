"""What tests of quotas share: an account on a plan of its own, how it stands, and the proof that no token is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from e2e.accounting import AT_ONCE, account_of
from gridloom_contract.registry import GATEWAY, QUOTA, SCHEDULER, USAGE, WORKER
from gridloom_testing.clients import JOBS, ApiClient
from gridloom_testing.grid import Grid

TEN_WORDS = "[[tokens=10]] Ten words"
"""Uses 13 tokens; some 40 are reserved for it once it is known how its model answers, and 280 before."""
_POLL_SECONDS = 0.03


def start_metered(grid: Grid, *, schedulers: int = 1, **quota_settings: object) -> None:
    """Start a grid that counts at once, without workers."""
    for _ in range(schedulers):
        grid.start(SCHEDULER)
    grid.start(QUOTA, **quota_settings)
    grid.start(USAGE, **AT_ONCE)
    grid.start(GATEWAY)
    grid.wait_until_ready()


async def hire(grid: Grid, workers: int = 1, **settings: object) -> None:
    """Start workers and return once they serve."""
    for _ in range(workers):
        grid.start(WORKER, grid.enrol(), **settings)
    await grid.until_ready()


@dataclass
class Customer:
    """An account with a plan that the test changes. `passed` are moments at which it was over its limit."""

    grid: Grid
    client: ApiClient
    account: str
    passed: list[dict[str, Any]] = field(default_factory=list)

    @property
    def plan(self) -> str:
        """Its plan."""
        return f"of-{self.account}"

    async def allow(self, **terms: Any) -> None:
        """Set its plan."""
        await asyncio.to_thread(self.grid.ask, "PUT", f"/admin/v1/plans/{self.plan}", terms)

    async def standing(self) -> dict[str, Any]:
        """Return how it stands today."""
        quota = await asyncio.to_thread(self.grid.ask, "GET", f"/admin/v1/accounts/{self.account}/quota")
        return dict(quota["windows"][0]) | {"held_until": quota["held_until"]}

    async def until(self, **wanted: int) -> dict[str, Any]:
        """Return how it stands once these fields of it are so."""
        standing: dict[str, Any] = {}
        try:
            async with asyncio.timeout(60):
                while True:
                    standing = await self.standing()
                    if wanted.items() <= standing.items():
                        return standing
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise AssertionError(f"the account never stood at {wanted}, but at {standing}") from None

    async def settled(self, jobs: list[str]) -> dict[str, Any]:
        """Return how it stands once nothing is reserved and what it has used is what these jobs used."""
        async with asyncio.timeout(60):
            while True:
                standing = await self.standing()
                documents = await self.documents(jobs)
                used = sum(each.get("input_tokens", 0) + each.get("output_tokens", 0) for each in documents)
                if (standing["reserved"], standing["used"]) == (0, used):
                    return standing
                await asyncio.sleep(_POLL_SECONDS)

    async def submit(self, count: int, prompt: str = TEN_WORDS) -> list[str]:
        """Submit jobs, all at once."""
        return list(await asyncio.gather(*(self.client.submit(prompt=prompt) for _ in range(count))))

    async def documents(self, jobs: list[str]) -> list[dict[str, Any]]:
        """Return the jobs as they are now."""
        return list(await asyncio.gather(*map(self.client.job, jobs)))

    async def until_held(self, jobs: list[str]) -> list[dict[str, Any]]:
        """Return the jobs that are held once none is anything but held or done."""
        async with asyncio.timeout(60):
            while True:
                documents = await self.documents(jobs)
                held = [each for each in documents if each.get("waiting_for") == "quota"]
                if len(held) + sum(each["status"] == "completed" for each in documents) == len(jobs):
                    return held
                await asyncio.sleep(_POLL_SECONDS)

    async def completed(self) -> int:
        """Return how many of its jobs are done; none while no scheduler can tell."""
        answer = await self.client.call("GET", JOBS, params={"status": "completed"})
        return int(answer.body["total"]) if answer.status == 200 else 0

    async def until_completed(self, count: int, within_seconds: float = 60.0) -> None:
        """Return once so many of its jobs are done."""
        async with asyncio.timeout(within_seconds):
            while await self.completed() < count:
                await asyncio.sleep(_POLL_SECONDS)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Look all the time whether used and reserved tokens are past the limit."""

        async def look() -> None:
            while True:
                standing = await self.standing()
                if standing["used"] + standing["reserved"] > standing["limit"]:
                    self.passed.append(standing)

        async with asyncio.TaskGroup() as tasks:
            looking = tasks.create_task(look())
            yield
            looking.cancel()


@asynccontextmanager
async def a_customer(grid: Grid, **terms: Any) -> AsyncIterator[Customer]:
    """Open an account on a plan of its own."""
    async with grid.client() as client:
        customer = Customer(grid, client, account_of(grid, client))
        await customer.allow(**terms)
        path = f"/admin/v1/accounts/{customer.account}/plan"
        await asyncio.to_thread(grid.ask, "PUT", path, {"plan": customer.plan})
        yield customer


async def proven(grid: Grid) -> int:
    """Have the books proved, and return how many accounts there are. Raises AssertionError with the differences."""
    proof: dict[str, Any] = await asyncio.to_thread(grid.ask, "POST", "/admin/v1/quota/verify")
    assert proof["differences"] == []
    return int(proof["checked"])
