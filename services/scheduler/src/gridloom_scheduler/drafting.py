"""Drafting: which submissions can be accepted, and the jobs they would become."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gridloom_contract.fault import FaultError
from gridloom_contract.jobs import Submission
from gridloom_domain.errors import NoCapacity
from gridloom_scheduler.catalogue import Catalogue
from gridloom_scheduler.chance import Chance
from gridloom_scheduler.providers import Providers
from gridloom_scheduler.record import JobRecord, WorkerRecord
from gridloom_scheduler.rules.changes import Moment
from gridloom_scheduler.rules.files import FileTerms, held_from_start
from gridloom_scheduler.rules.submission import draft_of, unfit_model, unknown_model

Draft = JobRecord | FaultError


class Workers(Protocol):
    """Where workers are kept."""

    async def find(self, worker: str) -> WorkerRecord | None:
        """Return the worker, or None."""
        ...


class Drafting:
    """Checks submissions."""

    def __init__(
        self, catalogue: Catalogue, workers: Workers, providers: Providers, chance: Chance, terms: FileTerms
    ) -> None:
        self._catalogue = catalogue
        self._workers = workers
        self._providers = providers
        self._chance = chance
        self._terms = terms

    async def draft(self, submissions: Sequence[Submission]) -> list[Draft]:
        """Return for each submission the job it becomes, or the fault for which it is refused."""
        await self._catalogue.look_up(submissions)
        absent = await self._absent_nodes({item.node for item in submissions if item.node is not None}, submissions)
        drafts = [self._draft(item, absent) for item in submissions]
        return await self._provided(submissions, drafts)

    async def _provided(self, submissions: Sequence[Submission], drafts: list[Draft]) -> list[Draft]:
        """Return the drafts; those that need a provider now, and have none, are refused."""
        needy = [place for place, item in enumerate(submissions) if item.needs_provider]
        alone = [place for place in needy if self._is_alone(drafts[place])]
        if alone:
            await self._providers.look_again()
        for place in alone:
            if self._is_alone(drafts[place]):
                drafts[place] = _no_provider(submissions[place])
        return drafts

    def _is_alone(self, draft: Draft) -> bool:
        return isinstance(draft, JobRecord) and not self._providers.is_served(draft)

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
        if not self._catalogue.can_do(item, family):
            return unfit_model(item.model, item.task.kind)
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


def _no_provider(item: Submission) -> NoCapacity:
    if item.node is not None:
        return NoCapacity(f"the worker {item.node[:64]!r} does not offer {item.model[:200]!r} at the moment", "node")
    return NoCapacity(f"no worker offers {item.model[:200]!r} at the moment", "model")


def _may_use(worker: WorkerRecord | None, account: str) -> bool:
    if worker is None or worker.revoked_at is not None:
        return False
    return worker.patrons is None or account in worker.patrons
