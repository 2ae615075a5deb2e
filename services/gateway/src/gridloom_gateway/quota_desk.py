"""What the operator may do about plans and quotas. The quota service keeps them; accounts are the gateway's."""

from __future__ import annotations

from typing import Any, Final, Protocol

from gridloom_contract.base import Message
from gridloom_contract.quota import (
    AccountQuota,
    AssignPlan,
    DeletePlan,
    ListPlans,
    Plan,
    PlanList,
    PutPlan,
    VerifyQuota,
    VerifyReport,
)
from gridloom_contract.registry import ASSIGN_PLAN, DELETE_PLAN, LIST_PLANS, PUT_PLAN, VERIFY_QUOTA, Channel
from gridloom_domain.errors import NotFound
from gridloom_gateway.accounts import Accounts
from gridloom_gateway.plans import Plans

_ANSWER_SECONDS: Final = 5.0
_PROOF_SECONDS: Final = 300.0
"""A proof reads every account and waits for the ledger where that is behind."""


class Line(Protocol):
    """The way to the quota service."""

    async def request(self, channel: Channel, message: Message, *, timeout_seconds: float) -> Any:
        """Return the answer or raise `FaultError`."""
        ...


class QuotaDesk:
    """Plans, who is on which, and the proof of the books."""

    def __init__(self, line: Line, plans: Plans, accounts: Accounts) -> None:
        self._line = line
        self._plans = plans
        self._accounts = accounts

    async def plans(self) -> tuple[Plan, ...]:
        """Return all plans, by name."""
        found: PlanList = await self._line.request(LIST_PLANS, ListPlans(), timeout_seconds=_ANSWER_SECONDS)
        return found.plans

    async def plan(self, name: str) -> Plan:
        """Return a plan. Raises `NotFound`."""
        for plan in await self.plans():
            if plan.name == name:
                return plan
        raise NotFound("there is no such plan")

    async def put(self, plan: Plan, *, is_new: bool) -> Plan:
        """Make or change a plan. Raises `Invalid` with the field, `Conflict` if it is to be new and is not."""
        order = PutPlan(plan=plan, is_new=is_new)
        stored: Plan = await self._line.request(PUT_PLAN, order, timeout_seconds=_ANSWER_SECONDS)
        return stored

    async def delete(self, name: str) -> Plan:
        """Forget a plan and return it. Raises `NotFound`, or `Conflict` while an account is on it."""
        order = DeletePlan(plan=name)
        deleted: Plan = await self._line.request(DELETE_PLAN, order, timeout_seconds=_ANSWER_SECONDS)
        return deleted

    async def assign(self, account: str, plan: str) -> AccountQuota:
        """Put an account on a plan. Raises `NotFound` for either."""
        await self._accounts.get(account)
        order = AssignPlan(account=account, plan=plan)
        quota: AccountQuota = await self._line.request(ASSIGN_PLAN, order, timeout_seconds=_ANSWER_SECONDS)
        return quota

    async def quota(self, account: str) -> AccountQuota:
        """Return an account's plan and how it stands. Raises `NotFound`."""
        await self._accounts.get(account)
        return await self._plans.quota(account)

    async def verify(self) -> VerifyReport:
        """Have it proved that no token is lost or counted twice."""
        report: VerifyReport = await self._line.request(VERIFY_QUOTA, VerifyQuota(), timeout_seconds=_PROOF_SECONDS)
        return report
