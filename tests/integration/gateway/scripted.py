"""A scheduler that says what the test wants: it answers the gateway on the real bus and keeps jobs in a dictionary."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from gridloom_contract import batches, events, fleet, jobs, registry, subjects
from gridloom_contract.streams import STREAMS
from gridloom_contract.vocabulary import State, Usage
from gridloom_contract.work import TokenChunk
from gridloom_domain.errors import Conflict, NotFound, UnknownModel
from gridloom_kit.bus import Bus
from gridloom_kit.streams import ensure_streams
from gridloom_kit.wire import Subscription

Answer = Callable[[Any, str], Awaitable[Any]]

NOW = datetime(2026, 6, 20, 12, 0, 0, 123000, tzinfo=UTC)


class ScriptedScheduler:
    """`jobs` and `bundles` (batches of an API) are what it knows; `asked` and `batches` are what it was asked."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.jobs: dict[str, jobs.Job] = {}
        self.models: list[fleet.ModelEntry] = []
        self.workers: list[fleet.WorkerEntry] = []
        self.refused_models: set[str] = set()
        self.batches: list[list[str]] = []
        self.submissions: dict[str, jobs.Submission] = {}
        self._accepted = asyncio.Event()
        self.timelines: dict[str, tuple[events.JobEvent, ...]] = {}
        self.asked: list[object] = []
        self.retries: list[jobs.RetryJob] = []
        self.bundles: dict[str, batches.Batch] = {}
        self.answers_to_lose = 0
        self.is_awake = asyncio.Event()
        """While it is cleared, cancellations and retries take as long as that."""
        self.is_awake.set()
        self._second_offer = asyncio.Event()
        self._subscriptions: list[Subscription] = []
        self._seq = 0

    async def arrive(self) -> None:
        """Make the streams and start to answer."""
        await ensure_streams(self.bus, STREAMS)
        answers: tuple[tuple[registry.Channel, Answer], ...] = (
            (registry.SUBMIT_JOBS, self._submit),
            (registry.GET_JOB, self._get),
            (registry.LIST_JOBS, self._list),
            (registry.CANCEL_JOB, self._cancel),
            (registry.CANCEL_ALL_JOBS, self._cancel_all),
            (registry.RETRY_JOB, self._retry),
            (registry.REPRIORITISE_JOB, self._reprioritise),
            (registry.GET_TIMELINE, self._timeline),
            (registry.LIST_MODELS, self._list_models),
            (registry.LIST_WORKERS, self._list_workers),
            (registry.ENROL_WORKER, self._enrol),
            (registry.CREATE_BATCH, self._create_bundle),
            (registry.GET_BATCH, self._get_bundle),
            (registry.WITHDRAW_BATCH, self._withdraw_bundle),
        )
        for channel, answer in answers:
            self._subscriptions.append(await self.bus.answer(channel, answer, queue="scheduler"))
        await self.bus.flush()

    async def leave(self) -> None:
        """Answer nobody any more."""
        for subscription in self._subscriptions:
            await subscription.close()
        self._subscriptions.clear()
        await self.bus.flush()

    def change(self, job: str, **changes: Any) -> jobs.Job:
        """Change what is known of a job, without a word about it."""
        self.jobs[job] = msgspec.structs.replace(self.jobs[job], **changes)
        return self.jobs[job]

    async def assign(self, job: str, worker: str, attempt: int = 1) -> None:
        """Give the job to a worker and say so."""
        self.change(job, state=State.CLAIMED, worker=worker, attempt=attempt, claimed_at=NOW)
        await self.tell(job, events.JobAssigned, worker=worker, served_model="m", why="free", attempt=attempt)

    async def start(self, job: str) -> None:
        """Have its worker start the job and say so."""
        known = self.change(job, state=State.RUNNING, started_at=NOW)
        await self.tell(job, events.JobStarted, worker=known.worker, attempt=known.attempt)

    async def succeed(self, job: str, output: str) -> None:
        """End the job with this text and say so."""
        known = self.change(
            job,
            state=State.SUCCEEDED,
            output=output,
            ended_at=NOW,
            finish_reason="stop",
            usage=Usage(tokens_in=3, tokens_out=len(output.split())),
        )
        await self.tell(
            job,
            events.JobFinished,
            state=State.SUCCEEDED,
            key=known.key,
            model=known.model,
            dialect=known.dialect,
            attempt=known.attempt,
        )

    async def awaited(self) -> str:
        """Return the first job for whose end somebody waits, once there is one."""
        await self._accepted.wait()
        return next(job for job, submission in self.submissions.items() if submission.waiter)

    async def tell(self, job: str, kind: type[Any], **fields: Any) -> None:
        """Publish an event of the job."""
        self._seq += 1
        fact = kind(job=job, account=self.jobs[job].account, seq=self._seq, at=NOW, id=str(self._seq), **fields)
        await self.bus.publish(registry.fact_subject(fact), fact)

    async def _submit(self, message: jobs.SubmitJobs, _subject: str) -> jobs.JobsSubmitted:
        self.batches.append([submission.job for submission in message.jobs])
        answer = jobs.JobsSubmitted(outcomes=tuple(self._accept(submission) for submission in message.jobs))
        if self.answers_to_lose:
            self.answers_to_lose -= 1
            await self._second_offer.wait()
        else:
            self._second_offer.set()
        return answer

    def _accept(self, submission: jobs.Submission) -> jobs.Acceptance:
        if submission.model in self.refused_models:
            error = UnknownModel(f"nobody ever offered {submission.model}", "model")
            return jobs.Acceptance(job=submission.job, fault=error.fault)
        self.submissions[submission.job] = submission
        self._accepted.set()
        taken = msgspec.structs.asdict(submission)
        shared = {name: taken[name] for name in jobs.Job.__struct_fields__ if name in taken}
        self.jobs.setdefault(submission.job, jobs.Job(**shared, state=State.QUEUED, created_at=NOW))
        return jobs.Acceptance(job=submission.job, state=State.QUEUED, created_at=NOW)

    async def _get(self, message: jobs.GetJob, _subject: str) -> jobs.Job:
        self.asked.append(message)
        return self._of(message.account, message.job)

    async def _list(self, message: jobs.ListJobs, _subject: str) -> jobs.JobPage:
        self.asked.append(message)
        mine = [job for job in self.jobs.values() if job.account == message.account]
        first = (message.page - 1) * message.per_page
        return jobs.JobPage(jobs=tuple(mine[first : first + message.per_page]), total=len(mine))

    async def _cancel(self, message: jobs.CancelJob, _subject: str) -> jobs.Job:
        self.asked.append(message)
        await self.is_awake.wait()
        if self._of(message.account, message.job).state is not State.QUEUED and message.waiting_only:
            raise Conflict("the job is no longer pending")
        return self.change(message.job, state=State.CANCELED, reason=message.reason, ended_at=NOW)

    async def _cancel_all(self, message: jobs.CancelAllJobs, _subject: str) -> jobs.JobsCanceled:
        return jobs.JobsCanceled(count=sum(job.account == message.account for job in self.jobs.values()))

    async def _retry(self, message: jobs.RetryJob, _subject: str) -> jobs.Job:
        self.retries.append(message)
        self.asked.append(message)
        await self.is_awake.wait()
        if self._of(message.account, message.job).state not in {State.FAILED, State.CANCELED}:
            raise Conflict("only a failed job can be retried")
        return self.change(message.job, state=State.QUEUED, ended_at=None)

    async def _reprioritise(self, message: jobs.ReprioritiseJob, _subject: str) -> jobs.Job:
        priority = self._of(message.account, message.job).priority + message.delta
        return self.change(message.job, priority=priority)

    async def _timeline(self, message: jobs.GetTimeline, _subject: str) -> jobs.Timeline:
        self._of(message.account, message.job)
        return jobs.Timeline(job=message.job, events=self.timelines.get(message.job, ()))

    async def _list_models(self, _message: fleet.ListModels, _subject: str) -> fleet.ModelList:
        return fleet.ModelList(models=tuple(self.models))

    async def _list_workers(self, _message: fleet.ListWorkers, _subject: str) -> fleet.WorkerList:
        return fleet.WorkerList(workers=tuple(self.workers))

    async def _enrol(self, message: fleet.EnrolWorker, _subject: str) -> fleet.WorkerEnrolled:
        self.asked.append(message)
        return fleet.WorkerEnrolled(worker="wabcdefghijkl", name=message.name, token="glw_wabcdefghijkl_secret")

    async def _create_bundle(self, order: batches.CreateBatch, _subject: str) -> batches.Batch:
        known = {name: getattr(order, name) for name in ("batch", "account", "key", "dialect", "echo", "total")}
        return self.bundles.setdefault(order.batch, batches.Batch(**known, created_at=NOW))

    async def _get_bundle(self, question: batches.GetBatch, _subject: str) -> batches.Batch:
        count = sum(submission.parent == question.batch for submission in self.submissions.values())
        return msgspec.structs.replace(self.bundles[question.batch], counts={State.QUEUED: count}, submitted_at=NOW)

    async def _withdraw_bundle(self, order: batches.WithdrawBatch, _subject: str) -> batches.Batch:
        return self.bundles.pop(order.batch)

    def _of(self, account: str, job: str) -> jobs.Job:
        known = self.jobs.get(job)
        if known is None or known.account != account:
            raise NotFound(f"no job {job}")
        return known


class Speaker:
    """A worker's voice: what it streams of a job, each chunk after the other."""

    def __init__(self, bus: Bus, worker: str, job: str, attempt: int = 1) -> None:
        self.bus = bus
        self.worker = worker
        self.job = job
        self.attempt = attempt
        self.said = 0

    async def say(self, *words: str) -> None:
        """Stream these words."""
        for word in words:
            chunk = TokenChunk(job=self.job, attempt=self.attempt, offset=self.said, text=word)
            await self.bus.publish(subjects.tokens(self.worker, self.job), chunk)
            self.said += len(word)
        await self.bus.flush()

    def mumble(self, word: str) -> None:
        """Say a word that nobody hears: it counts, and is lost."""
        self.said += len(word)
