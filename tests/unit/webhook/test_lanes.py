"""Who is called next: caps, breakers, and no account in the way of another."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from gridloom_webhook.lanes import Board, Caps, Slot
from gridloom_webhook.rules import Answer

NOW = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
GOOD, BAD = Answer("2xx", status=200), Answer("5xx", status=500)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def a_board(**changes: Any) -> Board:
    usual: dict[str, Any] = {
        "in_flight": 100,
        "per_account": 50,
        "per_lane": 4,
        "breaker_failures": 3,
        "breaker_seconds": 30.0,
        "breaker_most_seconds": 100.0,
    }
    return Board(Caps(**(usual | changes)))


def lane(account: str = "acc1", host: str = "example.org") -> str:
    return f"{account} https://{host}"


def end(board: Board, slots: list[Slot], answer: Answer, now: datetime = NOW) -> None:
    for slot in slots:
        board.learn(slot, answer, now)
        board.release(slot)


def proven(board: Board, key: str) -> None:
    board.note(key, NOW)
    end(board, board.pick(NOW), GOOD)


def test_nothing_is_picked_before_it_is_due() -> None:
    board = a_board()
    board.note(lane(), at(1))
    assert board.pick(NOW) == []
    assert board.next_change() == at(1)
    assert len(board.pick(at(1))) == 1


def test_the_earliest_due_time_counts() -> None:
    board = a_board()
    board.note(lane(), at(9))
    board.note(lane(), at(2))
    board.note(lane(), at(5))
    assert board.next_change() == at(2)


def test_a_receiver_that_is_not_known_to_be_well_gets_one_request_and_then_four() -> None:
    board = a_board()
    board.note(lane(), NOW)
    slots = board.pick(NOW)
    assert len(slots) == 1
    board.note(lane(), NOW)
    assert board.pick(NOW) == []
    end(board, slots, GOOD)
    assert len(board.pick(NOW)) == 4


def test_a_full_lane_is_picked_again_once_a_slot_comes_back() -> None:
    board = a_board()
    proven(board, lane())
    board.note(lane(), NOW)
    slots = board.pick(NOW)
    board.note(lane(), NOW)
    assert board.pick(NOW) == []
    end(board, slots[:1], GOOD)
    assert len(board.pick(NOW)) == 1


def test_a_breaker_opens_after_failures_in_a_row_and_lets_one_probe_through() -> None:
    board = a_board()
    for _ in range(3):
        board.note(lane(), NOW)
        end(board, board.pick(NOW), BAD)
    board.note(lane(), NOW)
    assert board.pick(at(29)) == []
    assert board.next_change() == at(30)
    probe = board.pick(at(30))
    assert len(probe) == 1
    board.note(lane(), NOW)
    assert board.pick(at(30)) == []
    end(board, probe, GOOD, at(31))
    assert len(board.pick(at(31))) == 4


def test_a_breaker_stays_open_twice_as_long_each_time_up_to_a_bound() -> None:
    board, now, pauses = a_board(), NOW, []
    for _ in range(6):
        board.note(lane(), now)
        end(board, board.pick(now), BAD, now)
        opens = board.lanes[lane()].opens_at
        pauses.append((opens - now).total_seconds() if opens else 0)
        now = opens or now
    assert pauses == [0, 0, 30, 60, 100, 100]


def test_a_receiver_that_turns_everything_down_is_alive() -> None:
    board = a_board()
    for _ in range(5):
        board.note(lane(), NOW)
        end(board, board.pick(NOW), Answer("4xx", status=410))
    board.note(lane(), NOW)
    assert len(board.pick(NOW)) == 4


def test_a_busy_receiver_that_asks_for_time_gets_it() -> None:
    board = a_board()
    board.note(lane(), NOW)
    end(board, board.pick(NOW), Answer("4xx", status=429, retry_after_seconds=20))
    board.note(lane(), NOW)
    assert (board.pick(at(19)), len(board.pick(at(20)))) == ([], 1)


def test_accounts_take_turns() -> None:
    board = a_board(in_flight=4)
    for number in range(3):
        board.note(lane("many", f"h{number}.example.org"), NOW)
    board.note(lane("one"), NOW)
    picked = [board.pick(NOW)[0].lane.account for _ in range(3)]
    assert "one" in picked[:2]


def test_one_account_never_takes_more_than_its_share() -> None:
    board = a_board(per_account=5)
    for number in range(20):
        board.note(lane("many", f"h{number}.example.org"), NOW)
    board.note(lane("one"), NOW)
    picked = []
    while slots := board.pick(NOW):
        picked += [slot.lane.account for slot in slots]
    assert (picked.count("many"), picked.count("one")) == (5, 1)


def test_receivers_that_may_be_dead_leave_a_quarter_to_those_that_are_well() -> None:
    board = a_board(in_flight=40)
    proven(board, lane("well"))
    for number in range(100):
        board.note(lane(f"acc{number}"), NOW)
    while board.pick(NOW):
        pass
    assert board.running == 30
    board.note(lane("well"), NOW)
    assert len(board.pick(NOW)) == 4


def test_everything_together_never_passes_the_cap() -> None:
    board = a_board(in_flight=7)
    for number in range(10):
        proven(board, lane(f"acc{number}"))
    for number in range(10):
        board.note(lane(f"acc{number}"), NOW)
    while board.pick(NOW):
        pass
    assert board.running == 7


def test_a_slot_at_once_is_only_had_where_nobody_waits() -> None:
    board = a_board()
    slot = board.reserve(lane(), NOW)
    assert slot
    assert board.reserve(lane(), NOW) is None
    board.release(slot)
    board.note(lane(), NOW)
    assert board.reserve(lane(), NOW) is None


def test_idle_lanes_are_forgotten_and_troubled_ones_are_not() -> None:
    board = a_board(breaker_failures=1)
    proven(board, lane("idle"))
    board.note(lane("dead"), NOW)
    end(board, board.pick(NOW), BAD)
    board.note(lane("later"), at(60))
    board.forget_idle(NOW)
    assert set(board.lanes) == {lane("dead"), lane("later")}


def test_slots_that_come_back_leave_no_trace() -> None:
    board = a_board()
    board.note(lane(), at(3600))
    for _ in range(1000):
        slot = board.reserve(lane(), NOW)
        assert slot
        board.release(slot)
    assert len(board._later) == 1
