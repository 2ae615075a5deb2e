"""Reports of workers: their starts and results, judged under their leases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from gridloom_contract.work import ReportReceipt, ResultReport, Verdict, WorkReport
from gridloom_kit.log import get_logger
from gridloom_scheduler import metrics
from gridloom_scheduler.chance import Chance
from gridloom_scheduler.fleet import Fleet
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules.changes import Change
from gridloom_scheduler.rules.endings import NOTHING_STORED, Judgement, Report, StoredOutputs, judge

log = get_logger()

_MOST_ROUNDS = 4


class Jobs(Protocol):
    """Where jobs are stored."""

    async def many(self, jobs: Collection[str]) -> dict[str, JobRecord]:
        """Return those of the jobs that exist, by id."""
        ...


class Changes(Protocol):
    """Where changes are stored."""

    async def commit(self, changes: Sequence[Change]) -> list[bool]:
        """Store the changes and follow up on those that won. Returns which did."""
        ...


class Sent(NamedTuple):
    """A report with the worker it came from, as the server vouches for it, and what is stored of what it refers to."""

    worker: str
    report: WorkReport
    stored: StoredOutputs = NOTHING_STORED


class _Case(NamedTuple):
    worker: str
    job: str


@dataclass
class _Batch:
    """The reports of one write, by worker and job, what is stored of what they refer to, and the verdicts on them."""

    cases: dict[_Case, list[Report]] = field(default_factory=lambda: defaultdict(list))
    stored: dict[_Case, StoredOutputs] = field(default_factory=dict)
    verdicts: dict[_Case, list[Verdict]] = field(default_factory=dict)

    def add(self, case: _Case, report: Report, stored: StoredOutputs) -> None:
        """Take one report in."""
        self.cases[case].append(report)
        if stored:
            self.stored[case] = {**self.stored.get(case, NOTHING_STORED), **stored}

    def receipt_for(self, sent: Sent) -> ReportReceipt:
        """Return the answer to one report. Verdicts are taken in the order in which the reports were added."""
        return ReportReceipt(
            started=tuple(self._next(sent.worker, report) for report in sent.report.started),
            results=tuple(self._next(sent.worker, report) for report in sent.report.results),
        )

    def _next(self, worker: str, report: Report) -> Verdict:
        return self.verdicts[_Case(worker, report.job)].pop(0)


class Reports:
    """Judges and stores what workers report."""

    def __init__(self, jobs: Jobs, fleet: Fleet, changes: Changes, chance: Chance) -> None:
        self._jobs = jobs
        self._fleet = fleet
        self._changes = changes
        self._chance = chance

    async def record(self, sent: list[Sent]) -> list[ReportReceipt]:
        """Judge what several workers report, and return once it is stored; the commit of a `GroupCommit`."""
        batch = _Batch()
        for worker, report, stored in sent:
            reports: tuple[Report, ...] = (*report.started, *report.results)
            for one in reports:
                batch.add(_Case(worker, one.job), one, stored)
        open_cases = set(batch.cases)
        known = self._remembered(open_cases)
        for _ in range(_MOST_ROUNDS):
            open_cases -= await self._settle(batch, open_cases, known)
            if not open_cases:
                self._count_stale(batch)
                return [batch.receipt_for(one) for one in sent]
            known = {}
        raise RuntimeError(f"{len(open_cases)} reports kept meeting other changes of their jobs")

    def _remembered(self, cases: Collection[_Case]) -> dict[_Case, JobRecord]:
        """Return the jobs as this replica last stored them: most reports need no look at the database."""
        flights = ((case, self._fleet.flight(case.worker, case.job)) for case in cases)
        return {case: job for case, job in flights if job is not None}

    async def _settle(self, batch: _Batch, cases: set[_Case], known: Mapping[_Case, JobRecord]) -> set[_Case]:
        """Judge cases and store what follows. Returns those that are settled; the others must be read again."""
        unknown = {case.job for case in cases if case not in known}
        stored = await self._jobs.many(unknown) if unknown else {}
        judged = {case: self._judge(batch, case, known.get(case) or stored.get(case.job)) for case in cases}
        # Stale by memory alone is not final: another replica may have changed the job.
        doubtful = {case for case in known if Verdict.STALE in judged[case].verdicts}
        changes = {case: judged[case].change for case in cases - doubtful}
        lost = await self._store({case: change for case, change in changes.items() if change is not None})
        settled = cases - doubtful - lost
        for case in settled:
            batch.verdicts[case] = list(judged[case].verdicts)
            _count_replaced(batch.cases[case], judged[case].change)
        return settled

    def _judge(self, batch: _Batch, case: _Case, job: JobRecord | None) -> Judgement:
        reports = batch.cases[case]
        if any(isinstance(report, ResultReport) and report.refused for report in reports):
            self._rest(case.worker)
        stored = batch.stored.get(case, NOTHING_STORED)
        return judge(job, case.worker, reports, self._chance.moment(), stored)

    def _rest(self, worker: str) -> None:
        """Give a worker that refuses orders nothing before its next heartbeat."""
        seat = self._fleet.get(worker)
        if seat is not None:
            seat.declines = True

    async def _store(self, changes: Mapping[_Case, Change]) -> set[_Case]:
        won = await self._changes.commit(list(changes.values()))
        return {case for case, is_won in zip(changes, won, strict=True) if not is_won}

    def _count_stale(self, batch: _Batch) -> None:
        stale = sum(verdicts.count(Verdict.STALE) for verdicts in batch.verdicts.values())
        if stale:
            metrics.results_rejected.labels(metrics.STALE_LEASE).inc(stale)
            log.info("reports.stale", count=stale)


def _count_replaced(reports: Sequence[Report], change: Change | None) -> None:
    """Count what a worker has told of its tokens and nobody could believe."""
    stored = change.after.usage if change is not None else None
    for report in reports:
        told = report.usage if isinstance(report, ResultReport) else None
        if change is None or stored is None or told is None or told == stored:
            continue
        replaced = {"input": told.tokens_in != stored.tokens_in, "output": told.tokens_out != stored.tokens_out}
        for kind in filter(replaced.__getitem__, replaced):
            metrics.counts_replaced.labels(kind).inc()
        log.warning("reports.count_replaced", job=change.before.id, worker=change.before.worker)
