"""The books balance and limits hold, whatever schedulers do, however facts come, and wherever a crash hits."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gridloom_contract.events import JobFinished
from gridloom_contract.quota import Plan
from gridloom_quota.rules.facts import Fact, booking_of
from gridloom_quota.rules.plans import limits_of
from gridloom_quota.rules.standing import fits
from unit.quota.world import Books, Replica, RunningJob, window_used

SOON_SECONDS = 10.0
LIMITS = st.one_of(st.none(), st.integers(0, 5_000))


class QuotaMachine(RuleBasedStateMachine):
    """Three schedulers, one account. Facts wait in `untold` until they are told, in any order and more than once."""

    is_timely = False
    """Whether every fact is told before its grant has ended and the grace is over."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = count(1)
        self.running: list[RunningJob] = []
        self.untold: list[Fact] = []
        self.told: list[Fact] = []
        self.excesses: list[tuple[datetime, int]] = []
        self.estimates: dict[str, int] = {}

    @initialize(day=LIMITS, week=LIMITS, month=st.integers(0, 5_000))
    def begin(self, day: int | None, week: int | None, month: int) -> None:
        self.books = Books(Plan(name="team", daily_tokens=day, weekly_tokens=week, monthly_tokens=month))
        self.replicas = [self._a_replica() for _ in range(3)]

    def _a_replica(self) -> Replica:
        return Replica(self.books, f"s{next(self.numbers)}", self.numbers)

    @rule(which=st.integers(0, 2), tokens=st.integers(1, 900))
    def claim_a_job(self, which: int, tokens: int) -> None:
        reservation = self.replicas[which].reserve(tokens)
        if reservation is not None:
            job = RunningJob(f"job{next(self.numbers)}", tokens)
            self.running.append(job)
            self.untold.append(job.assigned(reservation.grant, tokens, self.books.now))
            self.estimates[booking_of(self.untold[-1])] = tokens

    @rule(which=st.integers(0, 2), tokens=st.integers(1, 900))
    def lose_a_claim(self, which: int, tokens: int) -> None:
        reservation = self.replicas[which].reserve(tokens)
        if reservation is not None:
            self.replicas[which].budgets.undo(reservation)

    @rule(which=st.integers(0, 2), tokens=st.integers(1, 900))
    def lose_the_answer(self, which: int, tokens: int) -> None:
        self.replicas[which].budgets.reserve("acme", tokens, self.books.now)
        self.replicas[which].take(is_answer_lost=True)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def end_a_job(self, data: st.DataObject) -> None:
        job = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        tokens = data.draw(st.one_of(st.none(), st.integers(0, 1_200)))
        self.untold.append(job.finished(tokens, self.books.now))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), which=st.integers(0, 2))
    def try_a_job_again(self, data: st.DataObject, which: int) -> None:
        job = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.untold.append(job.requeued(self.books.now))
        reservation = self.replicas[which].reserve(job.estimate)
        if reservation is not None:
            self.running.append(job)
            self.untold.append(job.assigned(reservation.grant, job.estimate, self.books.now))
            self.estimates[booking_of(self.untold[-1])] = job.estimate

    @precondition(lambda self: self.untold)
    @rule(data=st.data())
    def tell_a_fact(self, data: st.DataObject) -> None:
        self._tell(self.untold.pop(data.draw(st.integers(0, len(self.untold) - 1))))

    @precondition(lambda self: self.untold)
    @rule(data=st.data())
    def tell_many_facts(self, data: st.DataObject) -> None:
        facts, self.untold = data.draw(st.permutations(self.untold)), []
        self._tell(*facts)

    @precondition(lambda self: self.told)
    @rule(data=st.data())
    def tell_a_fact_again(self, data: st.DataObject) -> None:
        self._tell(data.draw(st.sampled_from(self.told)))

    def _tell(self, *facts: Fact) -> None:
        self.books.note(*facts)
        self.told += [fact for fact in facts if fact not in self.told]

    @rule(which=st.integers(0, 2))
    def give_back(self, which: int) -> None:
        self.replicas[which].give_back()

    @rule(which=st.integers(0, 2), tokens=st.integers(1, 900))
    def give_back_before_the_facts_are_told(self, which: int, tokens: int) -> None:
        self.claim_a_job(which, tokens)
        self.books.pass_seconds(SOON_SECONDS / 2)
        self.replicas[which].give_back()

    @rule(which=st.integers(0, 2))
    def kill_a_scheduler(self, which: int) -> None:
        self.replicas[which] = self._a_replica()

    @rule(is_crashing=st.booleans())
    def crash_between_the_writes(self, is_crashing: bool) -> None:
        self.books.is_crashing = is_crashing

    @rule(seconds=st.sampled_from([0.5, 2.0, 8.0, 40.0, 3_600.0, 90_000.0, 700_000.0]))
    def let_time_pass(self, seconds: float) -> None:
        if self.is_timely and seconds > SOON_SECONDS:
            self._tell(*self.untold)
            self.untold = []
        self.books.pass_seconds(seconds)

    @invariant()
    def the_books_balance(self) -> None:
        assert self.books.differences() == []

    @invariant()
    def used_is_what_the_jobs_used(self) -> None:
        endings = [
            (fact.at, fact.usage.tokens_in + fact.usage.tokens_out)
            for fact in self.told
            if isinstance(fact, JobFinished) and fact.usage
        ]
        used = {str(window): record.used for window, record in self.books.account.windows.items()}
        assert used == window_used(self.books, endings)

    @invariant()
    def a_limit_is_passed_only_by_what_jobs_exceed_their_estimate(self) -> None:
        account, bookings = self.books.account, self.books.bookings().values()
        for window, limit in limits_of(self.books.plan).items():
            record = account.windows.get(window)
            if record is None:
                continue
            total = record.used + account.reserved + account.free
            beyond = sum(max(0, (booking.settled or 0) - booking.from_grant) for booking in bookings if booking.settled)
            late = sum(booking.tokens - booking.from_grant for booking in bookings if booking.is_open)
            assert total <= limit + beyond + late
            assert late == 0 or not self.is_timely

    @invariant()
    def whoever_was_refused_hears_of_it_when_it_fits(self) -> None:
        account = self.books.account
        if account.refused is not None and fits(account, self.books.plan, account.refused):
            assert account.due_at is not None
            assert account.due_at <= self.books.now + timedelta(seconds=2)

    def teardown(self) -> None:
        """When everything has ended, been told and come back, nothing is reserved or granted any more."""
        if not hasattr(self, "books"):
            return
        self.untold += [job.finished(10, self.books.now) for job in self.running]
        self._tell(*self.untold)
        self.books.pass_seconds(4_000)
        assert self.books.account.reserved == 0
        assert self.books.account.free == 0
        assert self.books.differences() == []


class TimelyMachine(QuotaMachine):
    """Facts are told within the grace: then nothing at all is reserved past a limit."""

    is_timely = True


TestAnyOrder = QuotaMachine.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestTimely = TimelyMachine.TestCase
TestTimely.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
