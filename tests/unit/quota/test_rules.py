"""Grants and facts, one sentence a test."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gridloom_contract.quota import Plan
from gridloom_quota.rules.sharing import shares
from gridloom_quota.rules.sheet import GiveBack, Join, Lapse, Tend
from gridloom_quota.rules.views import quota_of
from unit.quota.world import START, Books, RunningJob

MONTHLY = Plan(name="team", monthly_tokens=8_000)


def a_job() -> RunningJob:
    return RunningJob("job1", 100)


def test_a_grant_is_what_is_needed_or_an_eighth_of_the_headroom_up_to_the_setting() -> None:
    assert Books(MONTHLY).take(10).tokens == 400  # the setting
    assert Books(Plan(name="team", monthly_tokens=800)).take(10).tokens == 100
    assert Books(Plan(name="team", monthly_tokens=800)).take(700).tokens == 700


def test_a_grant_never_exceeds_the_shortest_window() -> None:
    books = Books(Plan(name="team", daily_tokens=100, weekly_tokens=50, monthly_tokens=1_000))
    assert books.take(60).tokens == 0
    assert books.take(50).tokens == 50


def test_what_is_granted_and_not_yet_reserved_is_no_headroom() -> None:
    books = Books(Plan(name="team", daily_tokens=100))
    books.take(60, grant="g1")
    assert books.take(41, grant="g2").tokens == 0
    assert books.take(40, grant="g3").tokens == 40


def test_a_job_larger_than_its_whole_plan_waits() -> None:
    books = Books(Plan(name="team", daily_tokens=100))
    assert books.take(101).held_until == datetime(2026, 3, 6, tzinfo=UTC)


def test_reserved_tokens_move_into_the_new_window_and_used_ones_do_not() -> None:
    books, first, second = Books(Plan(name="team", daily_tokens=1_000)), a_job(), RunningJob("job2", 200)
    books.take(500)
    books.note(first.assigned("g1", 100, START), second.assigned("g1", 200, START), first.finished(90, START))
    books.pass_seconds(86_400)

    day = quota_of(books.account, books.plan, books.now).windows[0]

    assert (day.used, day.reserved, day.headroom) == (0, 200, 800)


def test_a_job_counts_in_the_windows_in_which_it_ended_even_when_that_is_heard_later() -> None:
    books, job = Books(MONTHLY), a_job()
    books.take(500)
    books.note(job.assigned("g1", 100, START))
    end = job.finished(90, START)
    books.pass_seconds(86_400)
    books.note(end)

    day, week, month = quota_of(books.account, books.plan, books.now).windows

    assert (day.used, week.used, month.used) == (0, 90, 90)


def test_an_end_a_moment_ahead_of_our_clock_counts_in_the_window_it_lies_in() -> None:
    books, job = Books(Plan(name="team", daily_tokens=1_000), datetime(2026, 3, 5, 23, 59, 59, tzinfo=UTC)), a_job()
    books.note(job.assigned(None, 100, books.now), job.finished(90, books.now + timedelta(seconds=2)))

    day = quota_of(books.account, books.plan, books.now).windows[0]

    assert (day.started_at, day.used) == (datetime(2026, 3, 6, tzinfo=UTC), 90)


def test_a_grant_that_nobody_returns_comes_back_after_its_end_and_a_grace() -> None:
    books = Books(MONTHLY)
    books.take(500)
    books.pass_seconds(44)
    assert books.account.free == 500
    books.pass_seconds(2)
    assert books.account.free == 0


def test_grants_get_another_grace_while_facts_may_wait_that_nobody_heard() -> None:
    books = Books(MONTHLY)
    books.take(500)
    books.now += timedelta(seconds=60)
    books.obey(Tend("acme", may_close=False))
    assert books.account.free == 500
    books.pass_seconds(16)
    assert books.account.free == 0


def test_a_fact_later_than_its_grant_reserves_straight_from_the_windows() -> None:
    books, job = Books(MONTHLY), a_job()
    books.take(500)
    books.pass_seconds(60)
    books.note(job.assigned("g1", 100, START))
    assert (books.account.reserved, books.account.granted) == (100, 100)
    assert books.differences() == []


def test_what_a_holder_says_it_spent_stays_for_the_facts_however_late_they_are() -> None:
    books, job = Books(MONTHLY), a_job()
    books.take(500)
    books.obey(GiveBack("acme", "g1", "s1", 100))
    assert books.account.free == 100
    books.pass_seconds(600)
    books.note(job.assigned("g1", 100, START))
    assert (books.account.free, books.account.reserved, books.account.grants) == (0, 100, ())


def test_a_holder_cannot_give_back_less_than_facts_have_told() -> None:
    books, job = Books(MONTHLY), a_job()
    books.take(500)
    books.note(job.assigned("g1", 300, START))
    books.obey(GiveBack("acme", "g1", "s1", -50))
    assert (books.account.reserved, books.account.free, books.differences()) == (300, 0, [])


def test_a_lapsed_reservation_is_free_again_and_its_job_still_counts_when_it_ends() -> None:
    books, job = Books(MONTHLY), a_job()
    books.note(job.assigned(None, 100, START))
    books.obey(Lapse("acme", books.bookings()["job1:1"]))
    assert books.account.reserved == 0
    books.note(job.finished(80, START))
    assert (books.account.reserved, books.account.settled, books.differences()) == (0, 80, [])


def test_a_retried_job_counts_both_of_its_attempts() -> None:
    books, job = Books(MONTHLY), a_job()
    books.note(job.assigned(None, 100, START), job.finished(60, START))
    books.note(job.assigned(None, 100, START), job.finished(70, START))
    assert (books.account.settled, books.account.reserved) == (130, 0)


@pytest.mark.parametrize("tokens", [-5, 2**70])
def test_an_absurd_count_is_not_counted_and_its_reservation_is_released(tokens: int) -> None:
    books, job = Books(MONTHLY), a_job()
    books.note(job.assigned(None, 100, START), job.finished(tokens, START))
    assert (books.account.settled, books.account.reserved) == (0, 0)


def test_schedulers_hear_three_times_that_what_was_refused_fits_and_then_no_more() -> None:
    books = Books(Plan(name="team", daily_tokens=100))
    books.take(60, grant="g1")
    assert books.take(50, grant="g2").tokens == 0
    assert books.tend().is_released is False
    books.obey(GiveBack("acme", "g1", "s1", 0))
    told = 0
    for _ in range(20):
        told += books.tend().is_released
        books.now += timedelta(seconds=0.5)
    assert told == 3
    assert books.account.due_at is None


def test_schedulers_hear_of_it_when_the_window_turns() -> None:
    books = Books(Plan(name="team", daily_tokens=100))
    assert books.take(100, grant="g1").tokens == 100
    books.note(a_job().assigned("g1", 100, START), RunningJob("job2", 0).finished(40, START))
    until = books.take(70, grant="g2").held_until
    assert until == books.account.due_at == datetime(2026, 3, 6, tzinfo=UTC)
    books.now = until
    assert books.tend().is_released is False  # the running job moved into the new day, and there is no room for 70
    books.note(replaced_end(books))
    assert books.account.due_at == books.now


def replaced_end(books: Books) -> object:
    job = a_job()
    job.attempt = 1
    return job.finished(None, books.now)


def test_schedulers_hear_of_it_when_another_plan_has_room() -> None:
    books = Books(Plan(name="team", daily_tokens=100))
    assert books.take(101).tokens == 0
    books.plan = Plan(name="team2", daily_tokens=200)
    books.obey(Join("acme", books.plan))
    news = books.tend()
    assert news.is_released
    books.now += timedelta(seconds=1)
    assert books.tend().is_changed


@pytest.mark.parametrize(
    ("granted", "counts", "expected"),
    [(10, [3, 3], [3, 3]), (3, [5, 1, 1], [1, 1, 1]), (4, [5, 1, 1], [2, 1, 1]), (0, [1], [0]), (1, [0, 1], [0, 1])],
)
def test_what_is_short_is_shared_one_each_first(granted: int, counts: list[int], expected: list[int]) -> None:
    assert shares(granted, counts) == expected
