"""A scheduler's budgets: what is reserved from which grant, what is asked for, and what goes back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gridloom_contract.quota import Grant, GrantRequest
from gridloom_domain.budgets import (
    USUAL_OUTPUT_TOKENS,
    Budgets,
    HeldUntil,
    NeedsGrant,
    Reservation,
    Spent,
    Unlimited,
    UsualOutput,
    estimate,
)

NOW = datetime(2026, 3, 5, 13, 30, tzinfo=UTC)
TOMORROW = datetime(2026, 3, 6, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def a_grant(grant: str = "g1", tokens: int = 100, **changes: Any) -> Grant:
    return Grant(**({"account": "acme", "grant": grant, "tokens": tokens, "expires_at": after(30)} | changes))


def a_refusal(until: datetime = TOMORROW) -> Grant:
    return Grant(account="acme", held_until=until)


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


@pytest.mark.parametrize(
    ("characters", "max_tokens", "usual", "expected"),
    [(0, 10, 256.0, 26), (300, 512, 256.0, 628), (301, None, 99.2, 217), (0, 0, 256.0, 17)],
)
def test_an_estimate_is_the_prompt_and_the_answer(
    characters: int, max_tokens: int | None, usual: float, expected: int
) -> None:
    assert estimate(characters, max_tokens, usual) == expected


def test_the_usual_output_of_a_model_is_learnt() -> None:
    usual = UsualOutput(most_models=2)
    assert usual.of("m") == USUAL_OUTPUT_TOKENS
    for _ in range(100):
        usual.saw("m", 1_000)
    assert usual.of("m") == pytest.approx(1_000, rel=0.01)
    usual.saw("a", 10)
    usual.saw("b", 10)
    assert usual.of("m") == USUAL_OUTPUT_TOKENS  # forgotten: the table is bounded


def test_an_answer_seldom_exceeds_the_usual_output() -> None:
    usual = UsualOutput()
    lengths = [100, 400, 250, 50, 300] * 40
    exceeded = 0
    for length in lengths:
        exceeded += length > usual.of("m")
        usual.saw("m", length)
    assert exceeded < 0.15 * len(lengths)
