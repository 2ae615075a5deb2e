"""A scheduler's budgets: what is reserved from which grant, what is asked for, and what goes back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gridloom_contract.quota import Grant, GrantRequest
from gridloom_domain.budgets import (
    Budgets,
    HeldUntil,
    NeedsGrant,
    Reservation,
    Spent,
    Unlimited,
)

NOW = datetime(2026, 3, 5, 13, 30, tzinfo=UTC)
TOMORROW = datetime(2026, 3, 6, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def a_grant(grant: str = "g1", tokens: int = 100, **changes: Any) -> Grant:
    return Grant(**({"account": "acme", "grant": grant, "tokens": tokens, "expires_at": after(30)} | changes))


def a_refusal(until: datetime = TOMORROW, spent_until: datetime | None = None) -> Grant:
    return Grant(account="acme", held_until=until, spent_until=spent_until)


def budgets_with(*grants: Grant) -> Budgets:
    budgets = Budgets()
    budgets.take(grants, NOW)
    return budgets


def test_a_job_reserves_from_a_grant_at_hand_until_it_is_spent() -> None:
    budgets = budgets_with(a_grant(tokens=100))
    assert budgets.reserve("acme", 60, NOW) == Reservation("g1", 60)
    assert budgets.reserve("acme", 60, NOW) == NeedsGrant(60)
    assert budgets.reserve("acme", 40, NOW) == Reservation("g1", 40)


def test_a_job_takes_all_its_tokens_from_one_grant() -> None:
    budgets = budgets_with(a_grant("g1", 50), a_grant("g2", 80))
    assert budgets.reserve("acme", 60, NOW) == Reservation("g2", 60)
    assert budgets.reserve("acme", 60, NOW) == NeedsGrant(60)


def test_an_unlimited_account_reserves_nothing_until_that_is_old() -> None:
    budgets = budgets_with(a_grant(None, 0, unlimited=True, expires_at=after(10)))  # type: ignore[arg-type]
    assert budgets.reserve("acme", 10**9, after(9)) == Unlimited()
    assert budgets.reserve("acme", 10, after(10)) == NeedsGrant(10)


def test_an_unlimited_account_is_asked_about_before_that_is_old_while_its_jobs_go_on() -> None:
    budgets = budgets_with(a_grant(None, 0, unlimited=True, expires_at=after(10)))  # type: ignore[arg-type]
    budgets.reserve("acme", 1, after(5))
    assert not budgets.has_wants
    assert budgets.reserve("acme", 1, after(6)) == Unlimited()
    assert budgets.wanted() == (GrantRequest(account="acme", tokens=1),)
    assert not budgets.lacks("acme", after(6))


def test_an_unlimited_account_needs_no_estimate() -> None:
    budgets = budgets_with(a_grant(None, 0, unlimited=True, expires_at=after(10)), a_grant(account="umbrella"))  # type: ignore[arg-type]
    assert [budgets.is_unlimited(account, after(9)) for account in ("acme", "umbrella", "nobody")] == [
        True,
        False,
        False,
    ]
    assert not budgets.is_unlimited("acme", after(10))


def test_an_account_lacks_tokens_from_the_first_job_turned_away_until_somebody_answers() -> None:
    budgets = Budgets()
    budgets.reserve("acme", 30, NOW)
    lacked = [budgets.lacks("acme", NOW)]
    budgets.wanted()
    lacked.append(budgets.lacks("acme", NOW))
    budgets.take([a_grant()], NOW)
    assert [*lacked, budgets.lacks("acme", NOW)] == [True, True, False]


def test_a_grant_is_not_reserved_from_once_it_has_ended() -> None:
    budgets = budgets_with(a_grant())
    assert budgets.reserve("acme", 1, after(29.9)) == Reservation("g1", 1)
    assert budgets.reserve("acme", 1, after(30)) == NeedsGrant(1)


def test_what_the_first_job_lacked_is_asked_for_once() -> None:
    budgets = Budgets()
    for tokens in (30, 500, 10):
        budgets.reserve("acme", tokens, NOW)
    budgets.reserve("umbrella", 7, NOW)
    assert budgets.wanted() == (
        GrantRequest(account="acme", tokens=30),
        GrantRequest(account="umbrella", tokens=7),
    )
    assert budgets.wanted() == ()


def test_it_is_asked_again_when_nobody_answered() -> None:
    budgets = Budgets()
    budgets.reserve("acme", 30, NOW)
    budgets.not_answered(budgets.wanted())
    assert budgets.wanted() == (GrantRequest(account="acme", tokens=30),)


def test_over_quota_only_smaller_jobs_ask_again_before_the_time() -> None:
    budgets = Budgets()
    budgets.reserve("acme", 30, NOW)
    budgets.wanted()
    budgets.take([a_refusal()], NOW)
    assert budgets.reserve("acme", 30, NOW) == HeldUntil(TOMORROW)
    assert budgets.reserve("acme", 31, NOW) == HeldUntil(TOMORROW)
    assert budgets.reserve("acme", 29, NOW) == NeedsGrant(29)
    assert budgets.reserve("acme", 30, TOMORROW) == NeedsGrant(30)


def test_what_a_refusal_covers_is_not_asked_for_again() -> None:
    budgets = Budgets()
    budgets.reserve("acme", 30, NOW)
    budgets.wanted()
    budgets.reserve("acme", 50, NOW)
    budgets.take([a_refusal()], NOW)
    assert budgets.wanted() == ()
    assert budgets.reserve("acme", 30, NOW) == HeldUntil(TOMORROW)


def test_a_new_job_is_known_to_be_over_quota_without_reserving_anything() -> None:
    budgets = budgets_with(a_grant(tokens=10))
    budgets.reserve("acme", 30, NOW)
    budgets.wanted()
    budgets.take([a_refusal()], NOW)
    assert budgets.is_refused("acme", NOW)
    assert [budgets.held_until("acme", tokens, NOW) for tokens in (10, 29, 30)] == [None, None, TOMORROW]
    assert budgets.reserve("acme", 10, NOW) == Reservation("g1", 10)


def a_budget_without(*refusals: tuple[int, datetime | None]) -> Budgets:
    """Return budgets to which so many tokens were refused, some of them spent until a time."""
    budgets = Budgets()
    for tokens, spent_until in refusals:
        budgets.reserve("acme", tokens, NOW)
        budgets.wanted()
        budgets.take([a_refusal(spent_until=spent_until)], NOW)
    return budgets


def test_what_is_spent_cannot_come_back_and_what_is_only_reserved_may() -> None:
    budgets = a_budget_without((600, TOMORROW), (200, None))
    told = {tokens: budgets.reserve("acme", tokens, NOW) for tokens in (200, 599, 600, 900)}
    assert told == {
        200: HeldUntil(TOMORROW),
        599: HeldUntil(TOMORROW),
        600: HeldUntil(TOMORROW, TOMORROW),
        900: HeldUntil(TOMORROW, TOMORROW),
    }


def test_the_least_that_is_spent_counts() -> None:
    budgets = a_budget_without((600, after(86_000)), (200, after(80_000)))
    assert [budgets.spent_until("acme", tokens, NOW) for tokens in (199, 200, 600)] == [None, *[after(80_000)] * 2]
    assert budgets.spent_until("acme", 200, after(80_000)) is None


@pytest.mark.parametrize("news", ["released", "forget"])
def test_news_of_room_makes_nothing_spent(news: str) -> None:
    budgets = a_budget_without((30, TOMORROW))
    getattr(budgets, news)(["acme"])
    assert budgets.spent_until("acme", 30, NOW) is None


def test_a_release_makes_a_held_account_ask_again() -> None:
    budgets = budgets_with(a_refusal())
    budgets.released(["acme", "nobody"])
    assert budgets.reserve("acme", 30, NOW) == NeedsGrant(30)


def test_a_claim_that_was_not_stored_leaves_its_tokens_in_the_grant() -> None:
    budgets = budgets_with(a_grant(tokens=100))
    reservation = budgets.reserve("acme", 100, NOW)
    assert isinstance(reservation, Reservation)
    budgets.undo(reservation)
    assert budgets.reserve("acme", 100, NOW) == Reservation("g1", 100)
    budgets.undo(Reservation("g0", 5))  # long gone


@pytest.mark.parametrize(
    ("spent", "seconds", "goes_back"),
    [(10, 2.0, False), (10, 5.0, True), (100, 0.9, False), (100, 1.0, True), (0, 4.9, False), (0, 5.0, True)],
)
def test_a_grant_goes_back_when_it_is_spent_or_idle(spent: int, seconds: float, goes_back: bool) -> None:
    budgets = budgets_with(a_grant(tokens=100))
    if spent:
        budgets.reserve("acme", spent, NOW)
    assert budgets.to_return(after(seconds)) == ((Spent("g1", spent),) if goes_back else ())


def test_a_busy_grant_goes_back_after_its_end() -> None:
    budgets = budgets_with(a_grant(tokens=100))
    for second in range(30):
        budgets.reserve("acme", 1, after(second))
        assert budgets.to_return(after(second)) == ()
    assert budgets.to_return(after(30)) == (Spent("g1", 30),)
    assert budgets.to_return(after(31)) == ()


def test_what_is_left_goes_back_while_something_larger_is_lacking() -> None:
    budgets = budgets_with(a_grant(tokens=100))
    budgets.reserve("acme", 101, NOW)
    assert budgets.to_return(after(1)) == (Spent("g1", 0),)


def test_a_new_plan_ends_the_grants_of_the_old_one() -> None:
    budgets = budgets_with(a_grant(), a_grant("h1", account="umbrella"), a_grant("i1", account="initech"))
    budgets.forget(["acme"])
    assert budgets.reserve("acme", 1, NOW) == NeedsGrant(1)
    assert budgets.reserve("umbrella", 1, NOW) == Reservation("h1", 1)
    assert budgets.to_return(after(1)) == (Spent("g1", 0),)
    budgets.forget()
    assert {spent.grant for spent in budgets.to_return(after(1))} == {"h1", "i1"}


def test_everything_goes_back_at_the_end() -> None:
    budgets = budgets_with(a_grant(), a_grant("g2"))
    budgets.reserve("acme", 70, NOW)
    assert budgets.to_return(NOW, everything=True) == (Spent("g1", 70), Spent("g2", 0))


def test_the_cap_on_running_jobs_is_the_last_one_heard() -> None:
    budgets = budgets_with(a_grant(max_parallel=3))
    assert (budgets.most_parallel("acme"), budgets.most_parallel("nobody")) == (3, None)
    budgets.take([a_grant("g2", max_parallel=4)], NOW)
    assert budgets.most_parallel("acme") == 4


def test_nothing_is_remembered_of_accounts_that_are_gone() -> None:
    budgets = budgets_with(a_grant(), a_grant(None, 0, account="b", unlimited=True))  # type: ignore[arg-type]
    budgets.to_return(after(3_600))
    assert budgets._purses == {}
    assert budgets._accounts == {}
