"""Facts about jobs with webhooks. Each builder makes a complete one; a test names only what it is about."""

from __future__ import annotations

from typing import Any

from gridloom_contract.events import JobAccepted, JobFinished, JobRetried, JobStarted
from gridloom_contract.vocabulary import State
from gridloom_contract.webhooks import WebhookOrder
from gridloom_kit.clock import SystemClock
from gridloom_kit.seal import Seal
from gridloom_testing.builders import a_job_id

MASTER_KEY = "0f" * 32
API_KEY = "glm_abcd1234_notARealSecret00000000000000000000000000"
KID = "abcd1234"
SEAL = Seal(MASTER_KEY)


def an_order(job: str, url: str, **changes: Any) -> WebhookOrder:
    """Where the events of a job go, with the API key sealed for it."""
    usual: dict[str, Any] = {"url": url, "sealed_key": SEAL.close(API_KEY, job)}
    return WebhookOrder(**(usual | changes))


def an_acceptance(url: str, job: str | None = None, **changes: Any) -> JobAccepted:
    """A job with a webhook is accepted; `order` are changes of the order."""
    job = job or a_job_id()
    order = an_order(job, url, **changes.pop("order", {}))
    usual: dict[str, Any] = _fact(job, 1) | {"model": "m", "webhook": order}
    return JobAccepted(**(usual | changes))


def a_start(job: str, **changes: Any) -> JobStarted:
    """A job has started."""
    usual: dict[str, Any] = _fact(job, 3) | {"worker": "w1", "has_webhook": True, "attempt": 1}
    return JobStarted(**(usual | changes))


def an_end(job: str, **changes: Any) -> JobFinished:
    """A job has ended well."""
    usual: dict[str, Any] = _fact(job, 4) | {
        "state": State.SUCCEEDED,
        "key": KID,
        "model": "m",
        "dialect": "native",
        "has_webhook": True,
        "attempt": 1,
    }
    return JobFinished(**(usual | changes))


def a_retry(job: str, **changes: Any) -> JobRetried:
    """A job runs again."""
    return JobRetried(**(_fact(job, 5) | {"has_webhook": True} | changes))


def _fact(job: str, seq: int) -> dict[str, Any]:
    return {"job": job, "account": "acc1", "seq": seq, "at": SystemClock().now(), "id": f"{job}-{seq}"}
