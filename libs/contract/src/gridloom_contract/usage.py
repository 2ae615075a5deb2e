"""Usage accounting: one ledger line for each ended job, rollups by day, tag and model."""

from __future__ import annotations

from gridloom_contract.base import Instant, Message, Value
from gridloom_contract.events import JobFinished
from gridloom_contract.vocabulary import State, Usage


class GetUsage(Message, frozen=True, kw_only=True, omit_defaults=True, tag="usage.get.1"):
    """Gateway to usage: totals of an account from day `since` to day `until` (inclusive, `YYYY-MM-DD`, UTC).

    `group_by` is any of day, tag, model, key; empty means one total.
    """

    account: str
    since: str | None = None
    until: str | None = None
    group_by: tuple[str, ...] = ("day", "tag")


class UsageRow(Value, frozen=True, kw_only=True, omit_defaults=True):
    """Totals of one group. What was not grouped by is None, and so is the tag of jobs without one.

    A job counts on the day it ended; one that was retried and ended again counts once for each ending.
    """

    day: str | None = None
    tag: str | None = None
    model: str | None = None
    key: str | None = None
    jobs: int = 0
    succeeded: int = 0
    failed: int = 0
    canceled: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    estimated_jobs: int = 0
    engine_seconds: float = 0.0


class UsageReport(Message, frozen=True, kw_only=True, omit_defaults=True, tag="usage.report.1"):
    """Answer to `GetUsage`, ordered by its groups."""

    account: str
    rows: tuple[UsageRow, ...]
    total: UsageRow


class GetUsageLine(Message, frozen=True, kw_only=True, omit_defaults=True, tag="usage.line.get.1"):
    """Gateway to usage: the ledger's line of a job.

    Fault `not_found` until the job has ended and was counted, and if this account does not own it.
    """

    account: str
    job: str


class UsageLine(Message, frozen=True, kw_only=True, omit_defaults=True, tag="usage.line.1"):
    """Answer to `GetUsageLine`: tokens and engine time of all `endings` of the job together, the rest as of the last.

    `estimated` says that the tokens of at least one ending were not counted by an engine.
    """

    job: str
    account: str
    key: str
    model: str
    dialect: str
    state: State
    ended_at: Instant
    endings: int
    tokens_in: int
    tokens_out: int
    engine_seconds: float
    estimated: bool = False
    tag: str | None = None
    worker: str | None = None
    served_model: str | None = None
    created_at: Instant | None = None
    started_at: Instant | None = None


class VerifyUsage(Message, frozen=True, kw_only=True, omit_defaults=True, tag="usage.verify.1"):
    """Gateway to usage: recompute rollups from the ledger and the ledger from the jobs. Answered by `VerifyReport`."""


class LedgerTotals(Message, frozen=True, kw_only=True, omit_defaults=True, tag="usage.ledger.totals.1"):
    """Quota to usage: what the ledger says these accounts used since `since`."""

    accounts: tuple[str, ...]
    since: Instant


class AccountTotal(Value, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens in and out of one account's ended jobs. A retried job counts once for each ending."""

    account: str
    tokens: int
    jobs: int


class LedgerTotalsReport(Message, frozen=True, kw_only=True, omit_defaults=True, tag="usage.ledger.totals.report.1"):
    """Answer to `LedgerTotals`, in its order."""

    totals: tuple[AccountTotal, ...]


class ListEndings(Message, frozen=True, kw_only=True, omit_defaults=True, tag="jobs.endings.list.1"):
    """Usage to scheduler:
    jobs that ended, at most `limit` (and at most what fits into a message), for verification and catching up.

    Without `since`: all jobs that ever ended, in order of their id, those after `after`. With `since`: the jobs that
    are ended now, in order of `(ended_at, job)`, those after `(since, after)`.
    """

    after: str | None = None
    limit: int = 1000
    since: Instant | None = None


class Ending(Value, frozen=True, kw_only=True, omit_defaults=True):
    """How one job ended, as its document says. `seq` is that of its last `JobFinished`; `facts` are all of them."""

    job: str
    account: str
    seq: int
    state: State
    ended_at: Instant
    usage: Usage | None = None
    facts: tuple[JobFinished, ...] = ()


class EndingPage(Message, frozen=True, kw_only=True, omit_defaults=True, tag="jobs.endings.page.1"):
    """Answer to `ListEndings`; empty means that was all. `at` is when it was read, by the clock that ends jobs."""

    endings: tuple[Ending, ...]
    at: Instant | None = None
