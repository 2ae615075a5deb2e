"""Plans are made once, changed, and forgotten when nobody is on them."""

from __future__ import annotations

import asyncio

import pytest

from gridloom_contract import quota as contract
from gridloom_contract import registry
from gridloom_contract.fault import FaultCode, FaultError
from integration.quota.conftest import Replica
from integration.quota.scripted import Gateway


async def delete(gateway: Gateway, plan: str) -> contract.Plan:
    return await gateway.bus.request(registry.DELETE_PLAN, contract.DeletePlan(plan=plan))


async def make(gateway: Gateway, name: str) -> contract.Plan:
    return await gateway.bus.request(registry.PUT_PLAN, contract.PutPlan(plan=contract.Plan(name=name), is_new=True))


async def names_of(gateway: Gateway) -> list[str]:
    plans: contract.PlanList = await gateway.bus.request(registry.LIST_PLANS, contract.ListPlans())
    return [plan.name for plan in plans.plans]


async def test_a_plan_that_nobody_is_on_may_be_forgotten(quota: Replica, gateway: Gateway) -> None:
    made = await gateway.put_plan("team", daily_tokens=5)
    assert await delete(gateway, "team") == made
    assert await names_of(gateway) == ["default"]


async def test_a_plan_with_accounts_and_the_default_stay(quota: Replica, gateway: Gateway) -> None:
    await gateway.plan_of("acme", daily_tokens=5)
    for plan in ("plan-of-acme", "default"):
        with pytest.raises(FaultError) as refused:
            await delete(gateway, plan)
        assert refused.value.fault.code is FaultCode.CONFLICT
    assert await names_of(gateway) == ["default", "plan-of-acme"]


async def test_a_plan_that_is_not_there_is_not_forgotten(quota: Replica, gateway: Gateway) -> None:
    with pytest.raises(FaultError) as refused:
        await delete(gateway, "team")
    assert refused.value.fault.code is FaultCode.NOT_FOUND


async def test_of_two_who_make_the_same_plan_one_succeeds(quota: Replica, gateway: Gateway) -> None:
    made = await asyncio.gather(make(gateway, "team"), make(gateway, "team"), return_exceptions=True)
    assert sorted(type(each).__name__ for each in made) == ["FaultError", "Plan"]


async def test_the_default_plan_is_never_new(quota: Replica, gateway: Gateway) -> None:
    with pytest.raises(FaultError) as refused:
        await make(gateway, "default")
    assert refused.value.fault.code is FaultCode.CONFLICT
