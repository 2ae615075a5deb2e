"""What accounting is told of endings: all of them, without faults, and never more than an answer can carry."""

from __future__ import annotations

from typing import Any

import pytest

from gridloom_contract.base import encode
from gridloom_contract.events import JobFinished
from gridloom_contract.fault import Fault, FaultCode
from gridloom_contract.usage import Ending
from gridloom_contract.vocabulary import State
from gridloom_scheduler.rules.ended import ending_of, page_of
from unit.scheduler.records import NOW

FAULT = Fault(code=FaultCode.UPSTREAM, message="out of memory")


def a_fact(seq: int = 4, **changes: Any) -> JobFinished:
    """An ending of job a."""
    usual: dict[str, Any] = {"job": "a", "account": "acc1", "at": NOW, "id": "f" * 32, "state": State.SUCCEEDED}
    return JobFinished(seq=seq, key="key1", model="llama:8b", dialect="native", **(usual | changes))


def an_ending(job: str, times: int = 1) -> Ending:
    """A job that ended so many times."""
    return ending_of(job, "acc1", [a_fact(seq, job=job) for seq in range(4, 4 + times)])


def test_the_last_fact_says_how_a_job_ended() -> None:
    ending = ending_of("a", "acc1", [a_fact(4, state=State.FAILED, fault=FAULT), a_fact(9)])

    assert (ending.seq, ending.state, ending.ended_at) == (9, State.SUCCEEDED, NOW)
    assert [fact.seq for fact in ending.facts] == [4, 9]


def test_accounting_is_told_no_faults() -> None:
    assert ending_of("a", "acc1", [a_fact(state=State.FAILED, fault=FAULT)]).facts[0].fault is None


@pytest.mark.parametrize("most_bytes", [1_000, 2_000, 5_000, 20_000])
def test_a_page_is_the_longest_that_fits(most_bytes: int) -> None:
    endings = [an_ending(f"{number:032x}") for number in range(100)]

    page = page_of(endings, NOW, most_bytes)

    assert list(page.endings) == endings[: len(page.endings)]
    assert 0 < len(encode(page)) <= most_bytes
    longer = page_of(endings, NOW, most_bytes + 1_000)
    assert len(longer.endings) > len(page.endings) or len(page.endings) == len(endings)


def test_a_page_without_endings_is_empty() -> None:
    assert page_of([], NOW, 1_000).endings == ()


def test_a_job_that_was_retried_too_often_for_one_answer_does_not_stop_the_others() -> None:
    page = page_of([an_ending("a", times=1_000)], NOW, 4_000)

    assert len(encode(page)) <= 4_000
    assert page.endings[0].facts[-1].seq == page.endings[0].seq == 1_003
