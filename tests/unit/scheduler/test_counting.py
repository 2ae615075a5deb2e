"""Token counts of strangers: what no text can account for is replaced by an estimate and marked, all else believed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gridloom_contract.vocabulary import Kind, Usage
from gridloom_scheduler.record import AttachedFile, InputSize
from gridloom_scheduler.rules.counting import Evidence, Length, credible, evidence_of, seconds_in_hand
from unit.scheduler.records import NOW, a_claimed_record, a_record

SHORT = Evidence(InputSize(text_characters=40, task_bytes=60), files=0, seconds=1.0, output_characters=80)
LONG = Evidence(InputSize(text_characters=400_000, task_bytes=400_100), files=0, seconds=60.0, output_characters=8_000)
BROKEN_OFF = Evidence(InputSize(text_characters=40, task_bytes=60), files=0, seconds=1.0, output_characters=None)
UNREAD = Evidence(InputSize(text_characters=None, task_bytes=20_000_000), files=0, seconds=60.0, output_characters=80)
WITH_IMAGE = Evidence(InputSize(text_characters=40, task_bytes=60), files=1, seconds=1.0, output_characters=80)
UNSEEN = Evidence(
    InputSize(text_characters=40, task_bytes=60), files=0, seconds=1.0, output_characters=0, doubtful_characters=60_000
)
VECTORS = Evidence(
    InputSize(text_characters=40, task_bytes=60), files=0, seconds=1.0, output_characters=0, writes=False
)
UNKNOWN = Evidence(None, files=0, seconds=1.0, output_characters=80)


def counts(tokens_in: int, tokens_out: int) -> Usage:
    """What a worker says."""
    return Usage(tokens_in=tokens_in, tokens_out=tokens_out)


@pytest.mark.parametrize(
    ("usage", "evidence"),
    [
        (counts(10, 20), SHORT),
        (counts(2, 4), SHORT),
        (counts(40 + 30, 80), SHORT),
        (counts(1_500, 20), SHORT),
        (counts(10, 500), SHORT),
        (counts(10, 0), BROKEN_OFF),
        (counts(0, 0), BROKEN_OFF),
        (counts(100_000, 2_000), LONG),
        (counts(1_024, 2_000), LONG),
        (counts(100_000, 30_000), LONG),
        (counts(5_000_000, 20), UNREAD),
        (counts(3_000, 20), WITH_IMAGE),
        (counts(12, 20), UNKNOWN),
        (counts(10, 10), UNSEEN),
        (counts(10, 20_000), UNSEEN),
        (counts(10, 0), VECTORS),
    ],
    ids=[
        "as usual",
        "a coarse tokenizer",
        "a token a character, and a template",
        "a long template",
        "thoughts that are not in the answer",
        "no answer",
        "failed before the prompt was read",
        "a long prompt",
        "a prompt cut to the context",
        "a minute of thoughts",
        "a prompt nobody here has read",
        "an image",
        "a job of an earlier release",
        "a large body with few words",
        "a large body with many",
        "vectors",
    ],
)
def test_what_may_be_true_is_believed(usage: Usage, evidence: Evidence) -> None:
    assert credible(usage, evidence) == usage


@pytest.mark.parametrize(
    ("usage", "evidence", "tokens_in", "tokens_out"),
    [
        (counts(10, 10**9), SHORT, 10, 20),
        (counts(10**9, 20), SHORT, 10, 20),
        (counts(10**9, 10**9), SHORT, 10, 20),
        (counts(10, 0), SHORT, 10, 20),
        (counts(0, 20), SHORT, 10, 20),
        (counts(-1, -1), SHORT, 10, 20),
        (counts(10**30, 10**30), BROKEN_OFF, 10, 0),
        (counts(0, 0), LONG, 100_000, 2_000),
        (counts(100_000, 100), LONG, 100_000, 2_000),
        (counts(100, 2_000), LONG, 100_000, 2_000),
        (counts(10**9, 20), UNREAD, 5_000_000, 20),
        (counts(10**9, 20), WITH_IMAGE, 10, 20),
        (counts(10**9, 20), UNKNOWN, 0, 20),
        (counts(10, 10**9), UNSEEN, 10, 15_000),
        (counts(10, 17), VECTORS, 10, 0),
    ],
)
def test_what_cannot_be_true_is_estimated_and_says_so(
    usage: Usage, evidence: Evidence, tokens_in: int, tokens_out: int
) -> None:
    assert credible(usage, evidence) == Usage(tokens_in=tokens_in, tokens_out=tokens_out, estimated=True)


def test_a_workers_own_estimate_stays_one() -> None:
    usage = Usage(tokens_in=10, tokens_out=20, estimated=True)

    assert credible(usage, SHORT) == usage


def test_an_answer_that_nobody_counted_is_estimated() -> None:
    assert credible(None, SHORT) == Usage(tokens_in=10, tokens_out=20, estimated=True)


def test_without_an_answer_there_is_nothing_to_estimate() -> None:
    assert credible(None, BROKEN_OFF) is None


@pytest.mark.parametrize("evidence", [SHORT, LONG, BROKEN_OFF, UNREAD, WITH_IMAGE, UNKNOWN])
@pytest.mark.parametrize("told", [-(10**18), -1, 0, 1, 10**3, 10**6, 10**9, 10**18])
def test_no_lie_costs_an_account_more_than_a_text_could(evidence: Evidence, told: int) -> None:
    believed = credible(counts(told, told), evidence)

    assert believed is not None
    size = evidence.input_size or InputSize(text_characters=None, task_bytes=64 * 1024 * 1024)
    assert 0 <= believed.tokens_in <= size.task_bytes + 2_048 + 16_384 * evidence.files
    assert 0 <= believed.tokens_out <= (evidence.output_characters or 0) * 4 + 16 + 500 * evidence.seconds


def test_the_evidence_is_the_scheduler_s_own() -> None:
    size = InputSize(text_characters=9, task_bytes=22)
    file = AttachedFile(ref="r", content_type="image/png")
    job = a_claimed_record(input_size=size, attachments=(file,), claimed_at=NOW)

    assert evidence_of(job, Length(6), NOW + timedelta(seconds=3)) == Evidence(size, 1, 4.0, 6)
    embedding = a_claimed_record(kind=Kind.EMBEDDING, claimed_at=NOW)
    assert evidence_of(embedding, Length(0, 9), NOW) == Evidence(None, 0, 1.0, 0, 9, writes=False)


def test_a_job_that_nobody_had_was_in_hand_for_no_time() -> None:
    assert seconds_in_hand(a_record(), NOW) == 1.0
