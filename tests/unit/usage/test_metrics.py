from __future__ import annotations

from datetime import datetime, timedelta

from gridloom_usage.lag import Lag
from gridloom_usage.metrics import OTHER, ModelLabels
from unit.usage.facts import NOON, a_finish


class Stopped:
    """A clock that stands still."""

    def now(self) -> datetime:
        return NOON

    def monotonic(self) -> float:
        return 0.0


class Recorded:
    """A ledger that has some endings."""

    def __init__(self, *facts) -> None:
        self.facts = facts

    async def endings_of(self, jobs):
        return {(fact.job, fact.seq) for fact in self.facts if fact.job in jobs}


def aged(seconds):
    return a_finish(at=NOON - timedelta(seconds=seconds))


def test_only_so_many_models_have_a_label_of_their_own():
    labels = ModelLabels()
    assert [labels.label(f"m{number}") for number in range(201)][-2:] == ["m199", OTHER]
    assert labels.label("m5") == "m5"


def test_the_lag_is_the_age_of_the_oldest_that_waits():
    lag, old, young = Lag(Recorded(), Stopped()), aged(5), aged(2)
    lag.begin(old)
    lag.begin(young)
    assert lag.seconds() == 5.0
    lag.end(old)
    assert lag.seconds() == 2.0
    lag.end(young)
    assert lag.seconds() == 0.0


async def test_what_another_replica_recorded_is_no_lag():
    fact, waiting = aged(5), aged(3)
    lag = Lag(Recorded(fact), Stopped())
    lag.begin(fact)
    lag.begin(waiting)
    await lag.forget_recorded()
    assert lag.seconds() == 3.0
