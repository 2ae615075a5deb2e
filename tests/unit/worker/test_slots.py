"""The accounting of what is in hand."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gridloom_contract.work import Holding
from gridloom_testing.builders import an_order
from gridloom_worker.slots import Slots, key_of


def test_orders_start_in_lane_order_and_within_a_lane_in_the_order_they_came() -> None:
    slots = Slots(4)
    low, first, second, high = (an_order() for _ in range(4))
    for lane, order in (("low", low), ("normal", first), ("normal", second), ("high", high)):
        slots.admit(lane, order)
    assert [slots.start_next() for _ in range(4)] == [high, first, second, low]


def test_no_more_start_than_there_are_slots() -> None:
    slots = Slots(1)
    slots.admit("normal", an_order())
    slots.admit("normal", an_order())
    assert slots.start_next() is not None
    assert slots.start_next() is None
    assert (slots.running, slots.waiting, slots.free) == (1, 1, 0)


def test_nothing_starts_while_too_many_large_outputs_wait() -> None:
    slots = Slots(1)
    keys = [("job", attempt) for attempt in range(64)]
    for key in keys:
        slots.remember(key)
        slots.note_parcel(key, is_large=True)
    slots.admit("normal", an_order())
    assert slots.start_next() is None
    slots.forget(keys[0])
    assert slots.start_next() is not None


def test_the_same_attempt_is_taken_once_even_after_it_is_over() -> None:
    slots, order = Slots(1), an_order()
    assert slots.admit("normal", order)
    assert not slots.admit("high", order)
    slots.start_next()
    slots.end(key_of(order))
    slots.forget(key_of(order))
    assert not slots.admit("normal", order)


def test_an_ended_attempt_stays_in_hand_until_it_is_forgotten() -> None:
    slots, order = Slots(1), an_order()
    slots.admit("normal", order)
    slots.start_next()
    slots.end(key_of(order))
    assert slots.holding() == (Holding(job=order.job, attempt=1),)
    assert slots.free == 1
    slots.forget(key_of(order))
    assert slots.holding() == ()


def test_nothing_starts_while_too_many_results_wait_for_their_receipt() -> None:
    slots = Slots(1, max_unconfirmed=2)
    orders = [an_order() for _ in range(3)]
    for order in orders:
        slots.admit("normal", order)
    for order in orders[:2]:
        slots.start_next()
        slots.end(key_of(order))
    assert slots.start_next() is None
    slots.forget(key_of(orders[0]))
    assert slots.start_next() == orders[2]


def test_a_waiting_order_can_be_taken_out_and_a_running_one_cannot() -> None:
    slots, running, waiting = Slots(1), an_order(), an_order()
    slots.admit("normal", running)
    slots.admit("low", waiting)
    slots.start_next()
    assert slots.withdraw(key_of(waiting))
    assert not slots.withdraw(key_of(running))
    assert slots.waiting == 0


def test_an_earlier_attempt_of_the_same_job_is_found() -> None:
    slots, first = Slots(1), an_order()
    slots.admit("normal", first)
    assert slots.older_attempts(an_order(job=first.job, attempt=2)) == [1]
    assert slots.older_attempts(an_order(job=first.job, attempt=1)) == []
    assert slots.older_attempts(an_order(attempt=2)) == []


def test_a_drained_worker_has_no_free_slots_until_it_is_resumed() -> None:
    slots = Slots(3)
    slots.is_drained = True
    assert (slots.is_draining, slots.free) == (True, 0)
    slots.is_drained = False
    assert (slots.is_draining, slots.free) == (False, 3)


def test_a_stopping_worker_cannot_be_resumed() -> None:
    slots = Slots(3)
    slots.is_stopping = True
    slots.is_drained = False
    assert (slots.is_draining, slots.free) == (True, 0)


class AnyHistory(RuleBasedStateMachine):
    """Whatever happens, an attempt is in one place, and no slot is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.slots = Slots(2, max_unconfirmed=3)
        self.waiting: list = []
        self.running: list = []
        self.ended: list = []

    @rule(lane=st.sampled_from(["high", "normal", "low"]))
    def an_order_comes(self, lane: str) -> None:
        order = an_order()
        assert self.slots.admit(lane, order)
        self.waiting.append(order)

    @rule()
    def one_starts(self) -> None:
        order = self.slots.start_next()
        may_start = self.waiting and len(self.running) < 2 and len(self.ended) < 3
        assert (order is not None) == bool(may_start)
        if order is not None:
            self.waiting.remove(order)
            self.running.append(order)

    @precondition(lambda self: self.running)
    @rule()
    def one_ends(self) -> None:
        order = self.running.pop()
        self.slots.end(key_of(order))
        self.ended.append(order)

    @precondition(lambda self: self.ended)
    @rule()
    def one_is_confirmed(self) -> None:
        self.slots.forget(key_of(self.ended.pop()))

    @precondition(lambda self: self.waiting)
    @rule()
    def one_is_withdrawn(self) -> None:
        assert self.slots.withdraw(key_of(self.waiting.pop()))

    @invariant()
    def the_books_balance(self) -> None:
        held = {key_of(order) for order in (*self.waiting, *self.running, *self.ended)}
        assert {(each.job, each.attempt) for each in self.slots.holding()} == held
        assert (self.slots.waiting, self.slots.running) == (len(self.waiting), len(self.running))
        assert self.slots.unconfirmed == len(self.ended)


AnyHistory.TestCase.settings = settings(max_examples=50, deadline=None)
TestAnyHistory = AnyHistory.TestCase
