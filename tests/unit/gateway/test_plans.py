"""Plans are asked for once, forgotten when they change, and never stand in the way of a request."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from gridloom_contract.quota import AccountQuota, GetQuota, Plan, PlanChanged, Window, WindowUse
from gridloom_contract.registry import GET_QUOTA, Channel
from gridloom_domain.errors import Unavailable
from gridloom_gateway.headroom import to_headroom
from gridloom_gateway.plans import Plans

_NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


class Watch:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> datetime:
        return _NOON

    def monotonic(self) -> float:
        return self.seconds


class QuotaService:
    """Answers with the plan it has, or not at all while `is_down`; `before_answer` happens while it thinks."""

    def __init__(self, plan: str) -> None:
        self.plan = plan
        self.is_down = False
        self.questions = 0
        self.before_answer: PlanChanged | None = None
        self.plans: Plans

    async def request(self, channel: Channel, message: GetQuota, *, timeout_seconds: float) -> AccountQuota:
        assert channel is GET_QUOTA
        assert timeout_seconds > 0
        self.questions += 1
        answer = AccountQuota(account=message.account, plan=Plan(name=self.plan))
        await asyncio.sleep(0)
        if self.before_answer is not None:
            await self.plans.forget(self.before_answer)
            self.before_answer = None
        if self.is_down:
            raise Unavailable("nobody answers")
        return answer


def a_grid(plan: str = "gold") -> tuple[QuotaService, Plans, Watch]:
    service, watch = QuotaService(plan), Watch()
    service.plans = Plans(service, watch)
    return service, service.plans, watch


async def test_a_plan_is_asked_for_once_however_many_requests_need_it() -> None:
    service, plans, _ = a_grid()

    found = await asyncio.gather(*(plans.of("ann") for _ in range(50)))
    again = await plans.of("ann")

    assert {plan.name for plan in (*found, again)} == {"gold"}
    assert service.questions == 1


async def test_a_changed_plan_is_asked_for_again_at_its_next_use() -> None:
    service, plans, _ = a_grid()
    await plans.of("ann")
    service.plan = "platinum"

    await plans.forget(PlanChanged(accounts=("ann",)))

    assert (await plans.of("ann")).name == "platinum"


async def test_a_change_that_names_nobody_concerns_everybody() -> None:
    service, plans, _ = a_grid()
    await plans.of("ann")
    service.plan = "platinum"

    await plans.forget(PlanChanged())

    assert (await plans.of("ann")).name == "platinum"


async def test_an_answer_that_a_change_overtook_is_believed_once_only() -> None:
    service, plans, _ = a_grid()
    service.before_answer = PlanChanged(accounts=("ann",))
    await plans.of("ann")
    service.plan = "platinum"

    assert (await plans.of("ann")).name == "platinum"


async def test_should_no_news_come_the_plan_is_asked_for_again_after_a_while() -> None:
    service, plans, watch = a_grid()
    await plans.of("ann")
    service.plan = "platinum"

    watch.seconds += 31

    assert (await plans.of("ann")).name == "platinum"


async def test_while_nobody_answers_the_last_known_plan_holds() -> None:
    service, plans, _ = a_grid()
    await plans.of("ann")
    service.is_down = True

    await plans.forget(PlanChanged())

    assert (await plans.of("ann")).name == "gold"


async def test_while_nobody_answers_an_unknown_account_has_no_limits_and_few_wait_for_it() -> None:
    service, plans, watch = a_grid()
    service.is_down = True

    found = [await plans.of("ann") for _ in range(10)]
    watch.seconds += 3
    service.is_down = False

    assert set(found) == {Plan(name="default")}
    assert service.questions == 1
    assert (await plans.of("ann")).name == "gold"


async def test_a_caller_that_goes_away_leaves_nobody_waiting() -> None:
    _, plans, _ = a_grid()
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(plans.of("ann"))
        second = tasks.create_task(plans.of("ann"))
        await asyncio.sleep(0)

        first.cancel()

    assert second.result().name == "default"


def test_what_remains_is_neither_used_nor_reserved_and_never_less_than_nothing() -> None:
    def window(limit: int | None, used: int) -> WindowUse:
        return WindowUse(
            window=Window.DAY, started_at=_NOON, resets_at=_NOON, limit=limit, used=used, reserved=10, headroom=1
        )

    quota = AccountQuota(
        account="ann", plan=Plan(name="gold"), windows=(window(100, 30), window(100, 95), window(None, 5))
    )

    assert [each.remaining for each in to_headroom(quota).windows] == [60, 0, None]
