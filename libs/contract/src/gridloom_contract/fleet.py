"""Workers and models as an operator or a client sees them."""

from __future__ import annotations

from gridloom_contract.base import Instant, Message, Value
from gridloom_contract.work import ModelSpeed, Offer


class ListModels(Message, frozen=True, kw_only=True, omit_defaults=True, tag="models.list.1"):
    """Gateway to scheduler:
    the catalogue as this account may use it. `online_only` leaves out models nobody serves now.
    """

    account: str
    online_only: bool = False


class ModelEntry(Value, frozen=True, kw_only=True, omit_defaults=True):
    """One model of the catalogue: everything any worker ever offered."""

    model: str
    family: str
    kind: str = "chat"
    workers: int = 0
    slots: int = 0
    waiting: int = 0
    tokens_per_second: float = 0.0
    context_tokens: int | None = None
    features: tuple[str, ...] = ()
    first_seen_at: Instant | None = None


class ModelList(Message, frozen=True, kw_only=True, omit_defaults=True, tag="models.page.1"):
    """Answer to `ListModels`, by name."""

    models: tuple[ModelEntry, ...]


class EnrolWorker(Message, frozen=True, kw_only=True, omit_defaults=True, tag="worker.enrol.1"):
    """Gateway to scheduler:
    make a worker identity. With `account` it is private: it serves only `serves` (or the account).
    """

    name: str
    account: str | None = None
    serves: tuple[str, ...] = ()


class WorkerEnrolled(Message, frozen=True, kw_only=True, omit_defaults=True, tag="worker.enrolled.1"):
    """Answer to `EnrolWorker`. `token` is shown this once; only its verifier is stored."""

    worker: str
    name: str
    token: str


class RevokeWorker(Message, frozen=True, kw_only=True, omit_defaults=True, tag="worker.revoke.1"):
    """Gateway to scheduler: the worker's token is void, its connection is ended and its jobs go to others."""

    worker: str


class DrainWorker(Message, frozen=True, kw_only=True, omit_defaults=True, tag="worker.drain.1"):
    """Gateway to scheduler: give this worker nothing new (`drain` true), or start again (false)."""

    worker: str
    drain: bool = True


class WorkerEntry(Message, frozen=True, kw_only=True, omit_defaults=True, tag="worker.document.1"):
    """One worker as an operator sees it. `state` is online, draining, offline or revoked."""

    worker: str
    name: str
    state: str
    account: str | None = None
    serves: tuple[str, ...] = ()
    offers: tuple[Offer, ...] = ()
    slots: int = 0
    free_slots: int = 0
    jobs: int = 0
    speeds: tuple[ModelSpeed, ...] = ()
    engine: str | None = None
    version: str | None = None
    created_at: Instant | None = None
    last_seen_at: Instant | None = None


class ListWorkers(Message, frozen=True, kw_only=True, omit_defaults=True, tag="workers.list.1"):
    """Gateway to scheduler: all workers that were ever enrolled."""


class WorkerList(Message, frozen=True, kw_only=True, omit_defaults=True, tag="workers.page.1"):
    """Answer to `ListWorkers`, by name."""

    workers: tuple[WorkerEntry, ...]


class KeyRevoked(Message, frozen=True, kw_only=True, omit_defaults=True, tag="key.revoked.1"):
    """Gateway to all gateways and webhook services: forget what you remember of this API key.

    With `is_changed_only` it is not revoked: it ends later, or its account changed. It goes on signing webhooks.
    """

    kid: str
    is_changed_only: bool = False


class Wake(Message, frozen=True, kw_only=True, omit_defaults=True, tag="scheduler.wake.1"):
    """Scheduler to all schedulers: jobs wait on these routes; whoever has a free worker for one, look.

    The route of one worker also means: it has come, or something was decided about it.
    """

    routes: tuple[str, ...]
