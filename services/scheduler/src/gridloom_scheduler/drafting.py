"""Drafting: which submissions can be accepted, and the jobs they would become."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gridloom_contract.fault import FaultError
from gridloom_contract.jobs import Submission
from gridloom_domain.errors import NoCapacity
from gridloom_scheduler.catalogue import Catalogue
from gridloom_scheduler.chance import Chance
from gridloom_scheduler.record import JobRecord, WorkerRecord
from gridloom_scheduler.rules.changes import Moment
from gridloom_scheduler.rules.files import FileTerms, held_from_start
from gridloom_scheduler.rules.submission import draft_of, unknown_model

Draft = JobRecord | FaultError


class Workers(Protocol):
    """Where workers are kept."""

    async def find(self, worker: str) -> WorkerRecord | None:
        """Return the worker, or None."""
        ...


class Drafting:
    """Checks submissions."""

    def __init__(self, catalogue: Catalogue, workers: Workers, chance: Chance, terms: FileTerms) -> None:
        self._catalogue = catalogue
        self._workers = workers
        self._chance = chance
        self._terms = terms

    async def draft(self, submissions: Sequence[Submission]) -> list[Draft]:
        """Return for each submission the job it becomes, or the fault for which it is refused."""
        await self._catalogue.look_up(submissions)
        absent = await self._absent_nodes({item.node for item in submissions if item.node is not None}, submissions)
        return [self._draft(item, absent) for item in submissions]

    async def _absent_nodes(self, nodes: set[str], submissions: Sequence[Submission]) -> set[tuple[str, str]]:
        """Return the pairs of account and node of which the account may not pin jobs to the node."""
        if not nodes:
            return set()
        known = {node: await self._workers.find(node) for node in nodes}
        return {
            (item.account, item.node)
            for item in submissions
            if item.node is not None and not _may_use(known[item.node], item.account)
        }

    def _draft(self, item: Submission, absent: set[tuple[str, str]]) -> Draft:
        family = self._catalogue.family_for(item)
        if family is None:
            known = [model.id for model in self._catalogue.visible_to(item.account)]
            return unknown_model(item.model, known)
        if item.node is not None and (item.account, item.node) in absent:
            return NoCapacity(f"there is no worker {item.node[:64]!r}", "node")
        try:
            moment = self._chance.moment()
            job = draft_of(item, family, moment)
            return self._awaiting_files(job, item, moment) if item.files or item.may_get_files else job
        except FaultError as refused:
            return refused

    def _awaiting_files(self, job: JobRecord, item: Submission, moment: Moment) -> JobRecord:
        takes_images = self._catalogue.takes_images(item, job.family)
        wait_seconds = self._terms.wait_seconds(item, takes_images=takes_images)
        return held_from_start(job, item.files, wait_seconds, moment) if wait_seconds > 0 else job


def _may_use(worker: WorkerRecord | None, account: str) -> bool:
    if worker is None or worker.revoked_at is not None:
        return False
    return worker.patrons is None or account in worker.patrons
