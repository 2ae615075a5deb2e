"""A text that only grows: what another attempt repeats is not told again, and what it says instead ends the stream."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom_contract.vocabulary import State
from gridloom_gateway.unbroken import Retelling
from gridloom_gateway.updates import Closing, Ended, Moved, Position, Said, StartedOver, Update
from gridloom_testing.builders import a_job

MOVED = Moved(State.RUNNING, 1)


def said(text: str, attempt: int = 1, sent: int = 0) -> Said:
    return Said(text, attempt, sent or len(text))


def told(*batches: list[Update], start: Position | None = None) -> tuple[str, list[Update]]:
    """Return the text that a reader gets to hear, and everything else."""
    retelling = Retelling(start)
    heard = [update for batch in batches for update in retelling.of(batch)]
    text = "".join(update.text for update in heard if isinstance(update, Said))
    return text, [update for update in heard if not isinstance(update, Said)]


def ended(output: str | None = None) -> Ended:
    state = State.FAILED if output is None else State.SUCCEEDED
    return Ended(a_job(state=state, output=output), len(output or ""))


def test_without_another_attempt_nothing_changes() -> None:
    end = ended("ab")

    assert told([MOVED, said("a")], [said("b"), end]) == ("ab", [MOVED, end])


def test_what_another_attempt_repeats_is_told_once() -> None:
    end = ended("abcdef")

    assert told([said("abcd")], [StartedOver(2), said("ab")], [said("cdef"), end]) == ("abcdef", [end])


def test_another_text_is_told_as_a_start_over_and_ends_the_stream() -> None:
    text, others = told([said("abcd")], [StartedOver(2), said("abXd", attempt=2), said("more"), ended("abXdmore")])

    assert text == "abcd"
    assert others == [StartedOver(2), Closing()]


def test_a_shorter_text_is_another_one() -> None:
    text, others = told([said("abcd")], [StartedOver(2), said("abc"), ended("abc")])

    assert (text, isinstance(others[0], StartedOver), others[1]) == ("abcd", True, Closing())


def test_a_job_that_fails_while_it_repeats_has_failed_and_nothing_else() -> None:
    end = ended()

    assert told([said("abcd")], [StartedOver(2), said("abc"), end]) == ("abcd", [end])


@pytest.mark.parametrize("start", [Position(1, 2), Position(1, 90, 2), Position(1, 0, 2)])
def test_what_was_read_elsewhere_of_another_attempt_cannot_be_compared(start: Position) -> None:
    text, others = told([said("c")], [StartedOver(2), said("abc", attempt=2)], start=start)

    assert (text, others) == ("c", [StartedOver(2), Closing()])


def test_what_was_read_of_a_stored_answer_is_its_beginning() -> None:
    end = ended("abcdef")

    assert told([StartedOver(1), said("abcd"), said("ef"), end], start=Position(1, 0, 3)) == ("def", [end])


def test_a_job_that_fails_after_it_was_lost_has_failed_and_nothing_else() -> None:
    end = ended()

    assert told([StartedOver(2), end], start=Position(1, 2)) == ("", [end])


@pytest.mark.parametrize("failures", [1, 2])
@given(text=st.text(max_size=30), cuts=st.lists(st.integers(0, 30), max_size=6), seen=st.integers(0, 30))
def test_however_often_and_wherever_it_breaks_a_repeated_text_is_whole(
    failures: int, text: str, cuts: list[int], seen: int
) -> None:
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces: list[Update] = [said(text[start:end]) for start, end in pairwise(places)]
    broken: list[Update] = [said(text[:seen]), StartedOver(2)] if text[:seen] else []

    assert told(*([broken] * failures), pieces, [ended(text)])[0] == text
