"""Those around the quota service: a gateway, a scheduler that tells facts and hears news, and a ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from gridloom_contract import quota, registry
from gridloom_contract.events import JobAssigned, JobEvent, JobFinished, JobRequeued
from gridloom_contract.fault import FaultError
from gridloom_contract.usage import AccountTotal, LedgerTotals, LedgerTotalsReport
from gridloom_contract.vocabulary import State, Usage
from gridloom_kit.bus import Bus
from gridloom_kit.jetstream import Outgoing
from gridloom_testing.builders import a_job_id, a_worker_id


def now() -> datetime:
    """The time as the scheduler writes it."""
    at = datetime.now(UTC)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


class Gateway:
    """Asks as the gateway does."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus

    async def until_answered(self) -> None:
        """Return once some replica answers."""
        async with asyncio.timeout(20):
            while True:
                try:
                    await self.bus.request(registry.LIST_PLANS, quota.ListPlans(), timeout_seconds=0.5)
                    return
                except FaultError:
                    await asyncio.sleep(0.05)

    async def put_plan(self, name: str, **fields: Any) -> quota.Plan:
        """Make or change a plan."""
        return await self.bus.request(registry.PUT_PLAN, quota.PutPlan(plan=quota.Plan(name=name, **fields)))

    async def assign(self, account: str, plan: str) -> quota.AccountQuota:
        """Put an account on a plan."""
        return await self.bus.request(registry.ASSIGN_PLAN, quota.AssignPlan(account=account, plan=plan))

    async def plan_of(self, account: str, **limits: Any) -> None:
        """Put an account on a plan of its own."""
        await self.put_plan(f"plan-of-{account}", **limits)
        await self.assign(account, f"plan-of-{account}")

    async def quota(self, account: str) -> quota.AccountQuota:
        """Return how an account stands."""
        return await self.bus.request(registry.GET_QUOTA, quota.GetQuota(account=account))

    async def month(self, account: str) -> quota.WindowUse:
        """Return how an account stands this month."""
        return (await self.quota(account)).windows[2]

    async def until(
        self, account: str, holds: Callable[[quota.WindowUse], bool], within_seconds: float = 10
    ) -> quota.WindowUse:
        """Return how the account stands this month once that is as it should be."""
        month = await self.month(account)
        try:
            async with asyncio.timeout(within_seconds):
                while not holds(month):
                    await asyncio.sleep(0.02)
                    month = await self.month(account)
        except TimeoutError:
            raise AssertionError(f"it stays at {month}") from None
        return month

    async def verify(self) -> quota.VerifyReport:
        """Have the books proved."""
        return await self.bus.request(registry.VERIFY_QUOTA, quota.VerifyQuota(), timeout_seconds=30.0)

    async def take_rate(self, key: str, per_minute: int, count: int = 1) -> quota.RateTaken:
        """Lease calls."""
        wish = quota.TakeRate(key=key, group="native", per_minute=per_minute, count=count)
        return await self.bus.request(registry.TAKE_RATE, wish)


class Scheduler:
    """Takes grants, tells facts, hears news."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.released: list[str] = []
        self.changed: list[quota.PlanChanged] = []
        self._news = asyncio.Condition()

    async def listen(self) -> None:
        """Hear what the quota service says."""
        released, changed = registry.QUOTA_RELEASED, registry.PLAN_CHANGED
        await self.bus.subscribe(released.subject, quota.QuotaReleased, self._on_released)
        await self.bus.subscribe(changed.subject, quota.PlanChanged, self._on_changed)
        await self.bus.flush()

    async def take(self, account: str, tokens: int, holder: str = "s1") -> quota.Grant:
        """Take one grant."""
        return (await self.take_many([(account, tokens)], holder))[0]

    async def take_many(self, wishes: Sequence[tuple[str, int]], holder: str = "s1") -> tuple[quota.Grant, ...]:
        """Take grants."""
        requests = tuple(quota.GrantRequest(account=account, tokens=tokens) for account, tokens in wishes)
        taken = await self.bus.request(registry.TAKE_GRANTS, quota.TakeGrants(holder=holder, requests=requests))
        return tuple(taken.grants)

    async def give_back(self, grant: str | None, spent: int, holder: str = "s1") -> int:
        """Return one grant."""
        message = quota.ReturnGrants(holder=holder, grants=(grant or "",), spent=(spent,))
        return int((await self.bus.request(registry.RETURN_GRANTS, message)).count)

    async def tell(self, *facts: JobEvent) -> None:
        """Publish facts; every one must be stored."""
        items = [
            Outgoing(subject=registry.fact_subject(fact), message=fact, message_id=f"{fact.job}:{fact.seq}:{id(fact)}")
            for fact in facts
        ]
        assert all(await self.bus.publish_many(items))

    async def until_released(self, account: str, within_seconds: float = 2.0) -> None:
        """Return once schedulers hear that the account has headroom again."""
        async with asyncio.timeout(within_seconds), self._news:
            await self._news.wait_for(lambda: account in self.released)

    async def until_changed(self, account: str | None = None, within_seconds: float = 2.0) -> None:
        """Return once it is said that the plan of the account, or any plan, changed."""
        async with asyncio.timeout(within_seconds), self._news:
            await self._news.wait_for(
                lambda: any(account is None or account in change.accounts for change in self.changed)
            )

    async def _on_released(self, message: quota.QuotaReleased, _subject: str, _headers: Any) -> None:
        async with self._news:
            self.released += message.accounts
            self._news.notify_all()

    async def _on_changed(self, message: quota.PlanChanged, _subject: str, _headers: Any) -> None:
        async with self._news:
            self.changed.append(message)
            self._news.notify_all()


class Ledger:
    """Answers as the usage service does: what ended since a time."""

    def __init__(self) -> None:
        self.lines: list[JobFinished] = []
        self.lag = 0
        """How many questions are answered as if nothing had ended yet."""

    async def open(self, bus: Bus) -> None:
        """Begin to answer."""
        await bus.answer(registry.LEDGER_TOTALS, self._on_totals)

    def book(self, *facts: JobEvent) -> None:
        """Count endings."""
        self.lines += [fact for fact in facts if isinstance(fact, JobFinished) and fact.usage]

    async def _on_totals(self, message: LedgerTotals, _subject: str) -> LedgerTotalsReport:
        self.lag -= 1
        known = [] if self.lag >= 0 else self.lines
        return LedgerTotalsReport(totals=tuple(_total(known, account, message.since) for account in message.accounts))


def _total(known: Sequence[JobFinished], account: str, since: datetime) -> AccountTotal:
    lines = [line for line in known if line.account == account and line.at >= since]
    return AccountTotal(account=account, tokens=sum(map(tokens_of, lines)), jobs=len(lines))


def tokens_of(fact: JobFinished) -> int:
    """What the job used."""
    return fact.usage.tokens_in + fact.usage.tokens_out if fact.usage else 0


class JobStory:
    """One job, told fact by fact. Each fact is made once and can be told again."""

    def __init__(self, account: str, at: datetime | None = None) -> None:
        self.job = a_job_id()
        self.account = account
        self._seq = 1
        self._attempt = 0
        self._at = at

    def assigned(self, grant: str | None, tokens: int) -> JobAssigned:
        """A worker has it, with tokens of a grant."""
        self._attempt += 1
        reserved = {"grant": grant, "reserved_tokens": tokens}
        return JobAssigned(**self._common(), worker=a_worker_id(), served_model="synthetic", why="test", **reserved)

    def requeued(self) -> JobRequeued:
        """The attempt ended without an answer."""
        return JobRequeued(**self._common(), reason="lease_lost")

    def finished(self, tokens: int | None, state: State = State.SUCCEEDED) -> JobFinished:
        """The job ended, having used so many tokens."""
        usage = Usage(tokens_in=tokens // 3, tokens_out=tokens - tokens // 3) if tokens is not None else None
        return JobFinished(**self._common(), state=state, key="key1", model="synthetic", dialect="native", usage=usage)

    def _common(self) -> dict[str, Any]:
        self._seq += 1
        return {
            "job": self.job,
            "account": self.account,
            "seq": self._seq,
            "at": self._at or now(),
            "id": f"{self.job}-{self._seq}",
            "attempt": self._attempt,
        }


def a_moment_before(window: quota.WindowUse) -> datetime:
    """A time in the window before this one."""
    return window.started_at - timedelta(minutes=1)
