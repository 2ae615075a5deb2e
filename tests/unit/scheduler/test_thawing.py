"""How many jobs of an account that was over quota are let go at a time."""

from __future__ import annotations

from gridloom_scheduler.rules.thawing import Thaw, heard, is_ready, judged, went_on


def probing(count: int, **changes: object) -> Thaw:
    return Thaw(probes=tuple(map(str, range(count))), **changes)  # type: ignore[arg-type]


def test_each_time_that_there_is_room_twice_as_many_go() -> None:
    thaw, sizes = Thaw(), []
    for _ in range(9):
        sizes.append(thaw.size)
        thaw = judged(went_on(thaw, ("a",), 1.0), held_again=0, still_queued=0, now=1.1)
    assert sizes == [8, 16, 32, 64, 128, 256, 512, 512, 512]


def test_those_that_are_held_again_end_it_until_there_is_a_new_reason() -> None:
    refused = judged(probing(8, size=64), held_again=5, still_queued=0, now=10.0)
    assert not refused.is_due
    assert not is_ready(refused, 100.0)


def test_news_of_room_outlives_probes_that_were_let_go_before_it() -> None:
    older = heard(probing(8, size=64))
    assert judged(older, held_again=8, still_queued=0, now=10.0) == Thaw()
    assert not went_on(judged(older, held_again=0, still_queued=0, now=10.0), ("a",), 11.0).has_news
    assert heard(None) == heard(Thaw(not_before=99.0, is_due=False)) == Thaw()


def test_a_few_large_jobs_that_are_held_again_do_not_keep_the_others_back() -> None:
    assert is_ready(judged(probing(8), held_again=4, still_queued=0, now=10.0), 10.0)


def test_who_is_refused_again_and_again_is_tried_less_often() -> None:
    thaw, pauses = Thaw(), []
    for _ in range(7):
        thaw = judged(Thaw(probes=("a",), pause_seconds=thaw.pause_seconds), held_again=1, still_queued=0, now=0.0)
        pauses.append(thaw.not_before)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_jobs_that_wait_for_a_worker_are_waited_for_a_moment_and_then_a_few_more_go() -> None:
    waiting = probing(8, size=64, since=10.0)
    assert judged(waiting, held_again=0, still_queued=8, now=10.5) is waiting
    after = judged(waiting, held_again=0, still_queued=8, now=11.0)
    assert (after.probes, after.size) == ((), 8)
    assert is_ready(after, 11.0)


def test_room_makes_the_next_pause_short_again() -> None:
    assert went_on(Thaw(pause_seconds=30.0), ("a",), 1.0).pause_seconds == 1.0
