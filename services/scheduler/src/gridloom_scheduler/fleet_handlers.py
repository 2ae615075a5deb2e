"""The gateway's orders and questions about workers and models: one method a message."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from gridloom_contract.fleet import (
    DrainWorker,
    EnrolWorker,
    ListModels,
    ListWorkers,
    ModelEntry,
    ModelList,
    RevokeWorker,
    WorkerEnrolled,
    WorkerEntry,
    WorkerList,
)
from gridloom_contract.work import WorkerControl
from gridloom_domain.errors import Conflict, Invalid, NotFound
from gridloom_kit.log import get_logger
from gridloom_scheduler.access import Tokens, new_worker
from gridloom_scheduler.catalogue import Catalogue
from gridloom_scheduler.census import SEEN_WITHIN_SECONDS, Census
from gridloom_scheduler.doorbell import Doorbell
from gridloom_scheduler.record import ModelRecord, WorkerRecord
from gridloom_scheduler.retirement import Retirement
from gridloom_scheduler.rules.fleet_views import model_view, state_of, worker_view
from gridloom_scheduler.rules.routes import exact_route, family_route

log = get_logger()

_LONGEST_NAME = 200
_MOST_PATRONS = 1_000


class Workers(Protocol):
    """Worker identities."""

    async def enrol(self, worker: WorkerRecord) -> None:
        """Store a new worker."""
        ...

    async def find(self, worker: str) -> WorkerRecord | None:
        """Return the worker, or None."""
        ...

    async def all(self) -> list[WorkerRecord]:
        """Return every worker, by name."""
        ...

    async def revoke(self, worker: str, now: datetime) -> WorkerRecord | None:
        """Void a worker's token; None if there is no such worker."""
        ...

    async def drain(self, worker: str, *, draining: bool) -> WorkerRecord | None:
        """Set whether a worker is given anything new; None if there is no such worker."""
        ...


class InHand(Protocol):
    """How much the workers have."""

    async def count_in_hand(self) -> dict[str, int]:
        """Return how many jobs each worker has in hand."""
        ...


class Waiting(Protocol):
    """How much waits."""

    async def count_on(self, routes: Sequence[str]) -> int:
        """Return how many jobs wait on these routes."""
        ...


class ModelDesk:
    """What may be asked for."""

    def __init__(self, catalogue: Catalogue, census: Census, waiting: Waiting) -> None:
        self._catalogue = catalogue
        self._census = census
        self._waiting = waiting

    async def on_list(self, question: ListModels) -> ModelList:
        """Return the models an account may use, with who serves them and how much waits for them."""
        await asyncio.gather(self._catalogue.load(), self._census.catch_up())
        models = self._catalogue.visible_to(question.account)
        served = {model.id: self._census.of_model(model.id, question.account) for model in models}
        if question.online_only:
            models = [model for model in models if served[model.id]]
        return ModelList(
            models=tuple(await asyncio.gather(*(self._entry(model, served[model.id]) for model in models)))
        )

    async def _entry(self, model: ModelRecord, workers: Sequence[WorkerRecord]) -> ModelEntry:
        waiting = await self._waiting.count_on([exact_route(model.id), family_route(model.family)])
        return model_view(model, workers, waiting)


class WorkerDesk:
    """Who may work."""

    def __init__(
        self, workers: Workers, jobs: InHand, tokens: Tokens, retirement: Retirement, doorbell: Doorbell
    ) -> None:
        self._workers = workers
        self._jobs = jobs
        self._tokens = tokens
        self._retirement = retirement
        self._doorbell = doorbell

    async def on_list(self, _question: ListWorkers) -> WorkerList:
        """Return all workers, by name."""
        workers, jobs = await asyncio.gather(self._workers.all(), self._jobs.count_in_hand())
        return WorkerList(workers=tuple(self._view(worker, jobs.get(worker.id, 0)) for worker in workers))

    async def on_enrol(self, order: EnrolWorker) -> WorkerEnrolled:
        """Make a worker identity; the token is in the answer and nowhere else. Raises `Invalid`."""
        if not 0 < len(order.name) <= _LONGEST_NAME:
            raise Invalid(f"a worker's name has 1 to {_LONGEST_NAME} characters", "name")
        if len(order.serves) > _MOST_PATRONS or (order.serves and order.account is None):
            raise Invalid(f"only a private worker serves chosen accounts, at most {_MOST_PATRONS}", "serves")
        record, token = new_worker(self._tokens, order.name, order.account, order.serves, self._now())
        await self._workers.enrol(record)
        log.info("worker.enrolled", worker=record.id, is_private=record.account is not None)
        return WorkerEnrolled(worker=record.id, name=record.name, token=token)

    async def on_revoke(self, order: RevokeWorker) -> WorkerEntry:
        """Void a worker's token, end its connection and give its jobs to others. Raises `NotFound`."""
        worker = _known(await self._workers.revoke(order.worker, self._now()))
        log.info("worker.revoked", worker=worker.id)
        self._doorbell.fleet.forget(worker.id)
        self._doorbell.look_again(worker.id)
        await self._retirement.retire(worker)
        return self._view(worker, 0)

    async def on_drain(self, order: DrainWorker) -> WorkerEntry:
        """Give a worker nothing new, or something again. Raises `NotFound`, `Conflict` if it is revoked."""
        worker = _known(await self._workers.drain(order.worker, draining=order.drain))
        if worker.revoked_at is not None:
            raise Conflict("the worker is revoked")
        seat = self._doorbell.fleet.get(worker.id)
        if seat is not None:
            seat.draining = order.drain
        self._doorbell.look_again(worker.id)
        await self._retirement.order(worker.id, WorkerControl(order="drain" if order.drain else "resume"))
        jobs = await self._jobs.count_in_hand()
        return self._view(worker, jobs.get(worker.id, 0))

    def _now(self) -> datetime:
        return self._doorbell.fleet.time_of_day()

    def _view(self, worker: WorkerRecord, jobs: int) -> WorkerEntry:
        return worker_view(worker, state_of(worker, self._now(), SEEN_WITHIN_SECONDS), jobs)


def _known(worker: WorkerRecord | None) -> WorkerRecord:
    if worker is None:
        raise NotFound("there is no such worker")
    return worker
