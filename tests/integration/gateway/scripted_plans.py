"""A quota service that keeps plans in a dictionary and tells gateways of every change."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from gridloom_contract import quota, registry, subjects
from gridloom_contract.quota import Plan, Window, WindowUse
from gridloom_domain.errors import Conflict, NotFound
from gridloom_kit.bus import Bus

DAY = (datetime(2026, 3, 5, tzinfo=UTC), datetime(2026, 3, 6, tzinfo=UTC))


class ScriptedPlans:
    """`plans` by name and `chosen` by account; `differences` is what a verification finds."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.plans = {"default": Plan(name="default")}
        self.chosen: dict[str, str] = {}
        self.used = 0
        self.differences: tuple[str, ...] = ()
        self.questions = 0

    async def open(self) -> None:
        """Begin to answer."""
        answers: tuple[tuple[registry.Channel, Any], ...] = (
            (registry.PUT_PLAN, self._put),
            (registry.DELETE_PLAN, self._delete),
            (registry.LIST_PLANS, self._list),
            (registry.ASSIGN_PLAN, self._assign),
            (registry.GET_QUOTA, self._get),
            (registry.VERIFY_QUOTA, self._verify),
        )
        for channel, handler in answers:
            await self.bus.answer(channel, handler, queue=registry.QUOTA)
        await self.bus.flush()

    async def change(self, account: str, **terms: Any) -> None:
        """Put an account on a plan of its own."""
        await self._put(quota.PutPlan(plan=Plan(name=f"of-{account}", **terms)), "")
        await self._assign(quota.AssignPlan(account=account, plan=f"of-{account}"), "")

    async def _put(self, message: quota.PutPlan, _subject: str) -> Plan:
        if message.is_new and message.plan.name in self.plans:
            raise Conflict("there is such a plan already", "name")
        self.plans[message.plan.name] = message.plan
        await self.bus.publish(subjects.QUOTA_PLAN_CHANGED, quota.PlanChanged())
        return message.plan

    async def _delete(self, message: quota.DeletePlan, _subject: str) -> Plan:
        if message.plan in self.chosen.values():
            raise Conflict("there are accounts on it", "plan")
        if message.plan not in self.plans:
            raise NotFound("there is no such plan", "plan")
        return self.plans.pop(message.plan)

    async def _list(self, _message: quota.ListPlans, _subject: str) -> quota.PlanList:
        return quota.PlanList(plans=tuple(self.plans[name] for name in sorted(self.plans)))

    async def _assign(self, message: quota.AssignPlan, _subject: str) -> quota.AccountQuota:
        if message.plan not in self.plans:
            raise NotFound("there is no such plan", "plan")
        self.chosen[message.account] = message.plan
        await self.bus.publish(subjects.QUOTA_PLAN_CHANGED, quota.PlanChanged(accounts=(message.account,)))
        return self._quota_of(message.account)

    async def _get(self, message: quota.GetQuota, _subject: str) -> quota.AccountQuota:
        self.questions += 1
        return self._quota_of(message.account)

    async def _verify(self, _message: quota.VerifyQuota, _subject: str) -> quota.VerifyReport:
        return quota.VerifyReport(checked=len(self.chosen), differences=self.differences)

    def _quota_of(self, account: str) -> quota.AccountQuota:
        plan = self.plans[self.chosen.get(account, "default")]
        started_at, resets_at = DAY
        use = WindowUse(
            window=Window.DAY, started_at=started_at, resets_at=resets_at, limit=plan.daily_tokens, used=self.used
        )
        return quota.AccountQuota(account=account, plan=plan, windows=(use,))
