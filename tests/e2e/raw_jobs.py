"""Raw jobs of an account, submitted as the gateway submits them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gridloom_contract import registry
from gridloom_contract.jobs import Acceptance, GetJob, Job, SubmitJobs, Task
from gridloom_contract.registry import GATEWAY
from gridloom_contract.vocabulary import Kind
from gridloom_domain import ids
from gridloom_kit.bus import Bus, open_bus
from gridloom_testing.builders import a_submission
from gridloom_testing.clients import ApiClient
from gridloom_testing.grid import Grid


class RawJobs:
    """One account: `client` is its client of the native API."""

    def __init__(self, bus: Bus, account: str, client: ApiClient) -> None:
        self.client = client
        self._bus = bus
        self._account = account

    async def try_submit(self, model: str, kind: Kind, raw: dict[str, Any], **fields: Any) -> Acceptance:
        """Submit a job and return what became of that."""
        submission = a_submission(
            account=self._account, dialect="openai", model=model, task=Task(kind=kind, raw=raw), **fields
        )
        answer = await self._bus.request(registry.SUBMIT_JOBS, SubmitJobs(jobs=(submission,)), timeout_seconds=10.0)
        [outcome] = answer.outcomes
        return outcome

    async def submit(self, model: str, kind: Kind = Kind.CHAT, **raw: Any) -> str:
        """Submit a job, which must be accepted, and return its name in the native API."""
        outcome = await self.try_submit(model, kind, raw)
        assert outcome.fault is None, outcome.fault
        return ids.as_uuid(outcome.job)

    async def known(self, name: str) -> Job:
        """Return the job as the scheduler has it."""
        question = GetJob(job=ids.from_uuid(name), account=self._account)
        job: Job = await self._bus.request(registry.GET_JOB, question)
        return job


@asynccontextmanager
async def raw_jobs(grid: Grid) -> AsyncIterator[RawJobs]:
    """Make an account and submit for it."""
    account = grid.ask("POST", "/admin/v1/accounts", {"name": "raw"})["id"]
    key = str(grid.ask("POST", f"/admin/v1/accounts/{account}/keys", {})["key"])
    async with open_bus(grid.nats.settings_of(GATEWAY), GATEWAY) as bus, ApiClient(grid.url, key) as client:
        yield RawJobs(bus, account, client)
