"""Examples of what goes over the bus. Each builder makes a complete, valid one; a test names only what it is about."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from typing import Any

from gridloom_contract.jobs import Job, Submission, Task
from gridloom_contract.vocabulary import Kind, State, Usage
from gridloom_contract.work import Offer, ResultReport, WorkerHello, WorkOrder
from gridloom_domain.ids import RANDOM_BYTES, new_id

MODEL = "synthetic"
_WORKER_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


def a_job_id() -> str:
    """A job id of this moment."""
    return new_id(time.time_ns() // 1_000_000, secrets.token_bytes(RANDOM_BYTES))


def a_worker_id() -> str:
    """A worker id that nobody has."""
    return "w" + "".join(secrets.choice(_WORKER_ALPHABET) for _ in range(12))


def a_worker_token(worker: str | None = None) -> str:
    """A token as `admission` accepts it; the scheduler knows only those that it made itself."""
    return f"glw_{worker or a_worker_id()}_{secrets.token_hex(16)}"


def a_task(**changes: Any) -> Task:
    """A short chat."""
    usual: dict[str, Any] = {"kind": Kind.CHAT, "messages": ({"role": "user", "content": "Say hello"},)}
    return Task(**(usual | changes))


def a_submission(**changes: Any) -> Submission:
    """A job to accept, for example `a_submission(priority=5)`."""
    usual: dict[str, Any] = {
        "job": a_job_id(),
        "account": "acc1",
        "key": "key1",
        "dialect": "native",
        "model": MODEL,
        "task": a_task(),
    }
    return Submission(**(usual | changes))


def a_job(**changes: Any) -> Job:
    """A job as its owner sees it, queued unless told otherwise."""
    usual: dict[str, Any] = {
        "job": a_job_id(),
        "account": "acc1",
        "key": "key1",
        "dialect": "native",
        "model": MODEL,
        "task": a_task(),
        "state": State.QUEUED,
        "created_at": datetime.now(UTC),
    }
    return Job(**(usual | changes))


def an_order(**changes: Any) -> WorkOrder:
    """The first attempt of a job, for some worker."""
    usual: dict[str, Any] = {
        "job": a_job_id(),
        "worker": a_worker_id(),
        "attempt": 1,
        "token": secrets.token_hex(16),
        "model": MODEL,
        "task": a_task(),
        "timeout_seconds": 60.0,
    }
    return WorkOrder(**(usual | changes))


def a_result(order: WorkOrder | None = None, **changes: Any) -> ResultReport:
    """The good end of `order` (or of some order)."""
    order = order or an_order()
    usual: dict[str, Any] = {
        "job": order.job,
        "attempt": order.attempt,
        "token": order.token,
        "output": "Hello!",
        "finish_reason": "stop",
        "usage": Usage(tokens_in=3, tokens_out=2),
        "engine_seconds": 0.1,
    }
    return ResultReport(**(usual | changes))


def an_offer(**changes: Any) -> Offer:
    """The synthetic model."""
    model = changes.get("model", MODEL)
    return Offer(**({"model": model, "family": model.partition(":")[0]} | changes))


def a_worker_hello(**changes: Any) -> WorkerHello:
    """A worker with two slots that serves the synthetic model."""
    usual: dict[str, Any] = {
        "worker": a_worker_id(),
        "session": secrets.token_hex(8),
        "slots": 2,
        "offers": (an_offer(),),
        "version": "0.1.0",
        "engine": "synthetic",
    }
    return WorkerHello(**(usual | changes))
