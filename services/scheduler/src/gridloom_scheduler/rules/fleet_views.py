"""Workers and models as an operator or a client sees them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from gridloom_contract.fleet import ModelEntry, WorkerEntry
from gridloom_scheduler.record import ModelRecord, WorkerRecord

ONLINE, DRAINING, OFFLINE, REVOKED = "online", "draining", "offline", "revoked"


def state_of(worker: WorkerRecord, now: datetime, seen_within_seconds: float) -> str:
    """Return the state of a worker; one that nobody has noted for so long is offline whatever its document says."""
    if worker.revoked_at is not None:
        return REVOKED
    is_fresh = worker.last_seen_at is not None and now - worker.last_seen_at < timedelta(seconds=seen_within_seconds)
    if not worker.online or not is_fresh:
        return OFFLINE
    return DRAINING if worker.draining else ONLINE


def worker_view(worker: WorkerRecord, state: str, jobs: int) -> WorkerEntry:
    """Return one worker as an operator sees it."""
    is_up = state in (ONLINE, DRAINING)
    return WorkerEntry(
        worker=worker.id,
        name=worker.name,
        state=state,
        account=worker.account,
        serves=worker.serves,
        offers=worker.offers,
        slots=worker.slots,
        free_slots=max(0, worker.slots - jobs) if is_up else 0,
        jobs=jobs,
        speeds=worker.speeds,
        engine=worker.engine,
        version=worker.version,
        created_at=worker.created_at,
        last_seen_at=worker.last_seen_at,
    )


def model_view(model: ModelRecord, workers: Sequence[WorkerRecord], waiting: int) -> ModelEntry:
    """Return one model of the catalogue with the workers that serve it now; the speed is their average."""
    speeds = [speed.tokens_per_second for worker in workers for speed in worker.speeds if speed.model == model.id]
    measured = [speed for speed in speeds if speed > 0]
    return ModelEntry(
        model=model.id,
        family=model.family,
        kind=model.kind,
        workers=len(workers),
        slots=sum(worker.slots for worker in workers),
        waiting=waiting,
        tokens_per_second=round(sum(measured) / len(measured), 1) if measured else 0.0,
        context_tokens=model.context_tokens,
        features=model.features,
        first_seen_at=model.first_seen_at,
    )
