"""What gateways and schedulers ask, and the facts of jobs: one method a message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any, Protocol

from gridloom_contract import quota, subjects
from gridloom_contract.base import Message
from gridloom_contract.events import JobAssigned
from gridloom_contract.fault import FaultError
from gridloom_domain.errors import Conflict, NotFound
from gridloom_kit import crash
from gridloom_kit.clock import Clock
from gridloom_kit.consume import Retry
from gridloom_quota import metrics
from gridloom_quota.record import DEFAULT_PLAN, Account
from gridloom_quota.rules import plans, views
from gridloom_quota.rules.facts import Fact
from gridloom_quota.rules.grants import Request
from gridloom_quota.rules.sheet import Command, GiveBack, Join, Note, Take
from gridloom_quota.rules.windows import longest_until

_RETRY_SECONDS = 1.0
_PATIENCE_SECONDS = 0.05
"""How long a fact waits for others of its account: one after the other costs this machine more than the job did."""


class Desk(Protocol):
    """Where commands on accounts are carried out, many at a time."""

    async def submit(self, item: Command, within_seconds: float = 0.0) -> Any:
        """Return the answer of a command once it is stored; it may wait so long for company."""
        ...


class Accounts(Protocol):
    """The accounts as they are stored."""

    async def load(self, accounts: Collection[str]) -> dict[str, Account]:
        """Return all these accounts."""
        ...

    async def holding(self, grants: Collection[str]) -> dict[str, str]:
        """Return whose account each of these grants is open in."""
        ...

    async def is_in_use(self, plan: str) -> bool:
        """Say whether some account is on the plan."""
        ...

    async def wake(self, plan: str, now: datetime) -> None:
        """Have the accounts of a plan looked at of which something was refused."""
        ...


class Plans(Protocol):
    """The plans."""

    async def put(self, plan: quota.Plan, now: datetime, *, is_new: bool = False) -> bool:
        """Make or change a plan. Returns False if it was to be new and is not."""
        ...

    async def delete(self, plan: str) -> None:
        """Forget a plan."""
        ...

    async def all(self) -> list[quota.Plan]:
        """Return all plans by name."""
        ...

    async def of(self, names: Collection[str]) -> dict[str, quota.Plan]:
        """Return those of the plans that exist, by name."""
        ...


class Voice(Protocol):
    """How others hear of changes."""

    async def publish(self, subject: str, message: Message) -> None:
        """Say something to whoever listens."""
        ...


class PlanDesk:
    """Plans, who is on which, and how they stand."""

    def __init__(self, desk: Desk, accounts: Accounts, plans: Plans, voice: Voice, clock: Clock) -> None:
        self._desk = desk
        self._accounts = accounts
        self._plans = plans
        self._voice = voice
        self._clock = clock

    async def on_put(self, message: quota.PutPlan) -> quota.Plan:
        """Store a plan, and have everybody concerned look again."""
        plans.check(message.plan)
        if not await self._plans.put(message.plan, self._clock.now(), is_new=message.is_new):
            raise Conflict(f"there is a plan {message.plan.name!r} already", "name")
        crash.point("quota.plan_stored")
        await self._accounts.wake(message.plan.name, self._clock.now())
        crash.point("quota.plan_woken")
        await self._voice.publish(subjects.QUOTA_PLAN_CHANGED, quota.PlanChanged())
        return message.plan

    async def on_delete(self, message: quota.DeletePlan) -> quota.Plan:
        """Forget a plan that nobody is on."""
        plan = (await self._plans.of({message.plan})).get(message.plan)
        if plan is None:
            raise NotFound(f"there is no plan {message.plan[:64]!r}", "plan")
        if message.plan == DEFAULT_PLAN or await self._accounts.is_in_use(message.plan):
            raise Conflict(f"there are accounts on the plan {message.plan!r}", "plan")
        await self._plans.delete(message.plan)
        if await self._accounts.is_in_use(message.plan):  # somebody was put on it at the same moment
            await self._plans.put(plan, self._clock.now())
            raise Conflict(f"there are accounts on the plan {message.plan!r}", "plan")
        return plan

    async def on_list(self, _message: quota.ListPlans) -> quota.PlanList:
        """Return all plans."""
        return quota.PlanList(plans=tuple(await self._plans.all()))

    async def on_assign(self, message: quota.AssignPlan) -> quota.AccountQuota:
        """Put an account on a plan."""
        plan = (await self._plans.of({message.plan})).get(message.plan)
        if plan is None:
            raise NotFound(f"there is no plan {message.plan[:64]!r}", "plan")
        account = await self._desk.submit(Join(message.account, plan))
        await self._voice.publish(subjects.QUOTA_PLAN_CHANGED, quota.PlanChanged(accounts=(message.account,)))
        return views.quota_of(account, plan, self._clock.now())

    async def on_get(self, message: quota.GetQuota) -> quota.AccountQuota:
        """Return how an account stands."""
        account = (await self._accounts.load({message.account}))[message.account]
        plan = (await self._plans.of({account.plan})).get(account.plan) or plans.without_limits(account.plan)
        return views.quota_of(account, plan, self._clock.now())


class GrantDesk:
    """Budgets for schedulers."""

    def __init__(self, desk: Desk, accounts: Accounts, new_grant: Callable[[], str]) -> None:
        self._desk = desk
        self._accounts = accounts
        self._new_grant = new_grant

    async def on_take(self, message: quota.TakeGrants) -> quota.GrantsTaken:
        """Hand out budgets, in the order asked for."""
        wishes = [
            Take(request.account, Request(message.holder, request.tokens, self._new_grant()))
            for request in message.requests
        ]
        grants = await asyncio.gather(*(self._desk.submit(wish) for wish in wishes))
        crash.point("quota.granted")
        for grant in grants:
            _count_decision(grant)
        return quota.GrantsTaken(grants=tuple(grants))

    async def on_return(self, message: quota.ReturnGrants) -> quota.GrantsReturned:
        """Take budgets back; those that are closed already are not counted."""
        accounts = await self._accounts.holding(message.grants)
        ended = [
            GiveBack(accounts[grant], grant, message.holder, spent)
            for grant, spent in zip(message.grants, message.spent, strict=False)
            if grant in accounts
        ]
        were_open = await asyncio.gather(*(self._desk.submit(each) for each in ended))
        return quota.GrantsReturned(count=sum(were_open))


def _count_decision(grant: quota.Grant) -> None:
    if grant.unlimited:
        metrics.decisions.labels(metrics.UNLIMITED, "").inc()
    elif grant.held_until is not None:
        metrics.decisions.labels(metrics.HELD, str(longest_until(grant.held_until))).inc()
    else:
        metrics.decisions.labels(metrics.GRANTED, "").inc()


class FactDesk:
    """Facts about jobs, each counted once."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def on_fact(self, fact: Fact) -> None:
        """Reserve, settle or release. Where nothing is reserved, or no worker ever had the job, nothing needs doing."""
        if fact.attempt == 0 or (isinstance(fact, JobAssigned) and fact.reserved_tokens == 0):
            return
        try:
            metrics.overshoot_tokens.inc(await self._desk.submit(Note(fact), _PATIENCE_SECONDS))
        except FaultError as error:
            raise Retry(error.fault.message, _RETRY_SECONDS) from error
