"""Several schedulers and several quota services at once: a limit is passed only by what jobs exceed their estimate."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from gridloom_contract import quota as contract
from gridloom_contract import registry
from gridloom_contract.events import JobEvent
from gridloom_domain.budgets import Budgets, HeldUntil, Reservation
from gridloom_kit.bus import Bus
from integration.quota.conftest import StartQuota
from integration.quota.scripted import Gateway, JobStory, Ledger, Scheduler, now

LIMIT = 20_000


@dataclass
class Truth:
    """What really happens, whoever knows of it: what jobs used, and what those are expected to use that run."""

    used: int = 0
    running: int = 0
    excess: int = 0
    worst: int = 0

    def begin(self, estimate: int) -> None:
        """A job is claimed."""
        self.running += estimate
        self.worst = max(self.worst, self.used + self.running - self.excess)

    def end(self, estimate: int, used: int) -> None:
        """It ended."""
        self.running -= estimate
        self.used += used
        self.excess += max(0, used - estimate)


@dataclass
class Holder:
    """A scheduler replica that claims jobs of an account until it is held, as `gridloom_domain.budgets` says."""

    name: str
    bus: Bus
    tell: Callable[..., object]
    chance: random.Random
    truth: Truth
    budgets: Budgets = field(default_factory=Budgets)

    async def claim_until_held(self, account: str, estimate: int, ledger: Ledger) -> int:
        """Return how many jobs could be claimed; they run and end beside the claiming."""
        claimed = 0
        self.budgets.released([account])
        async with asyncio.TaskGroup() as jobs:
            while True:
                verdict = self.budgets.reserve(account, estimate, now())
                if isinstance(verdict, HeldUntil):
                    break
                if isinstance(verdict, Reservation):
                    claimed += 1
                    self.truth.begin(verdict.tokens)
                    jobs.create_task(self._run(JobStory(account), verdict, ledger))
                    continue
                await self._take()
        await self._give_back()
        return claimed

    async def _take(self) -> None:
        requests = self.budgets.wanted()
        message = contract.TakeGrants(holder=self.name, requests=requests)
        taken = await self.bus.request(registry.TAKE_GRANTS, message)
        self.budgets.take(taken.grants, now())

    async def _give_back(self) -> None:
        spent = self.budgets.to_return(now(), everything=True)
        message = contract.ReturnGrants(
            holder=self.name, grants=tuple(each.grant for each in spent), spent=tuple(each.tokens for each in spent)
        )
        await self.bus.request(registry.RETURN_GRANTS, message)

    async def _run(self, job: JobStory, reservation: Reservation, ledger: Ledger) -> None:
        await asyncio.sleep(self.chance.random() * 0.05)
        used = self.chance.randrange(int(reservation.tokens * 1.1))
        facts: list[JobEvent] = [job.assigned(reservation.grant, reservation.tokens)]
        if self.chance.random() < 0.1:  # a lost worker, and no second attempt
            facts += [job.requeued(), job.finished(None)]
            self.truth.end(reservation.tokens, 0)
        else:
            facts.append(job.finished(used))
            self.truth.end(reservation.tokens, used)
        ledger.book(*facts)
        self.chance.shuffle(facts)
        for fact in facts:
            await asyncio.sleep(self.chance.random() * 0.05)
            await self.tell(fact)  # type: ignore[misc]


async def test_holders_and_replicas_together_keep_to_the_limit(
    start_quota: StartQuota, gateway: Gateway, scheduler: Scheduler, ledger: Ledger
) -> None:
    for _ in range(3):
        await start_quota(grant_tokens=1_000)
    await gateway.plan_of("acme", monthly_tokens=LIMIT)
    truth = Truth()
    holders = [Holder(f"s{seed}", scheduler.bus, scheduler.tell, random.Random(seed), truth) for seed in range(5)]

    claimed = 1
    while claimed:  # what jobs did not use is claimed again
        claimed = sum(await asyncio.gather(*(holder.claim_until_held("acme", 150, ledger) for holder in holders)))
        await gateway.until("acme", lambda month: (month.used, month.reserved) == (truth.used, 0))

    assert truth.worst <= LIMIT
    assert (await gateway.verify()).differences == ()
    assert (await gateway.month("acme")).headroom < 150


async def test_facts_of_many_accounts_are_counted_by_several_replicas(
    start_quota: StartQuota, gateway: Gateway, scheduler: Scheduler, ledger: Ledger
) -> None:
    for _ in range(2):
        await start_quota()
    facts: list[JobEvent] = []
    for number in range(600):
        job = JobStory(f"account{number % 40}")
        facts += [job.assigned(None, 100), job.finished(90)]
    ledger.book(*facts)
    random.Random(7).shuffle(facts)

    await scheduler.tell(*facts, *facts[::3])

    for number in range(40):
        await gateway.until(f"account{number}", lambda month: (month.used, month.reserved) == (15 * 90, 0))
    report = await gateway.verify()
    assert (report.checked, report.differences) == (40, ())


async def test_a_crowd_of_takes_on_one_account_is_served_in_order_of_arrival(
    start_quota: StartQuota, gateway: Gateway, scheduler: Scheduler
) -> None:
    for _ in range(2):
        await start_quota(grant_tokens=1)
    await gateway.plan_of("acme", monthly_tokens=1_000)
    grants = await asyncio.gather(*(scheduler.take("acme", 30, f"s{number}") for number in range(60)))
    assert sum(grant.tokens for grant in grants) == 990
    assert sorted({grant.tokens for grant in grants}) == [0, 30]
    assert len({grant.grant for grant in grants if grant.grant}) == 33
