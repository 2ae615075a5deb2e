"""The worker's decisions."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom_contract.base import encode
from gridloom_contract.fault import FaultCode
from gridloom_contract.vocabulary import Usage
from gridloom_contract.work import ModelSpeed, TokenChunk
from gridloom_testing.builders import a_result, a_worker_id, a_worker_token, an_offer, an_order
from gridloom_worker import rules


def test_a_token_names_its_worker() -> None:
    worker = a_worker_id()
    assert rules.worker_of(f" {a_worker_token(worker)}\n") == worker


@pytest.mark.parametrize(
    "token", ["", "glw_x_y", "glm_waaaaaaaaaaaa_secret", "glw_waaaaaaaaaaaa_", "glw_w.aaaaaaaaaaa_s"]
)
def test_what_is_no_token_is_refused_without_being_repeated(token: str) -> None:
    with pytest.raises(ValueError, match="glw_<worker>_<secret>") as refused:
        rules.worker_of(token)
    assert not token or token not in str(refused.value)


def test_an_order_belongs_to_the_worker_it_names() -> None:
    order = an_order()
    assert rules.why_not_mine(order, order.worker) is None
    assert rules.why_not_mine(order, a_worker_id()) is not None


def test_an_order_is_welcome_while_its_model_is_offered() -> None:
    assert rules.why_hand_back(an_order(model="a"), [an_offer(model="a")], is_draining=False) is None


def test_a_draining_worker_hands_everything_back() -> None:
    fault = rules.why_hand_back(an_order(model="a"), [an_offer(model="a")], is_draining=True)
    assert fault is not None
    assert fault.retryable


def test_an_order_for_a_model_that_is_gone_is_handed_back() -> None:
    fault = rules.why_hand_back(an_order(model="b"), [an_offer(model="a")], is_draining=False)
    assert fault is not None
    assert fault.retryable


def test_an_order_handed_back_does_not_count_as_failed() -> None:
    order = an_order()
    report = rules.handed_back(order, rules.draining())
    assert (report.job, report.attempt, report.token, report.refused) == (order.job, 1, order.token, True)


def test_the_first_chunk_does_not_wait() -> None:
    assert rules.chunk_pause_seconds(since_last_seconds=10.0, unsent_bytes=0) == 0.0


def test_chunks_of_a_fast_stream_gather_text() -> None:
    assert rules.chunk_pause_seconds(since_last_seconds=0.001, unsent_bytes=0) == pytest.approx(0.004)


def test_chunks_gather_for_at_most_20_ms_when_the_connection_is_behind() -> None:
    assert rules.chunk_pause_seconds(since_last_seconds=0.0, unsent_bytes=10**6) == 0.020


@given(st.text(min_size=1, max_size=50_000, alphabet=st.sampled_from('a\x01\U0001f600"')))
def test_every_piece_fits_a_chunk_and_nothing_is_lost(text: str) -> None:
    pieces = rules.pieces(text)
    assert "".join(pieces) == text
    assert all(len(encode(TokenChunk(job="0" * 32, attempt=1, offset=0, text=piece))) < 65_536 for piece in pieces)


def test_a_result_that_took_work_is_kept_at_once_and_a_cheap_one_only_if_nobody_confirms_it() -> None:
    assert rules.spool_patience_seconds(a_result(engine_seconds=2.0)) == 0.0
    assert 0.0 < rules.spool_patience_seconds(a_result(engine_seconds=0.001)) <= 1.0


def test_a_fault_for_size_says_size_and_limit() -> None:
    fault = rules.too_large(2_000_000, 1_000_000)
    assert (fault.code, fault.retryable) == (FaultCode.TOO_LARGE, False)
    assert "2000000" in fault.message
    assert "1000000" in fault.message


def test_the_first_job_sets_the_speed_and_later_ones_move_it() -> None:
    slow = a_result(usage=Usage(tokens_in=1, tokens_out=10), engine_seconds=1.5, first_token_seconds=0.5)
    fast = a_result(usage=Usage(tokens_in=1, tokens_out=20), engine_seconds=1.5, first_token_seconds=0.5)
    first = rules.faster(ModelSpeed(model="m"), slow)
    second = rules.faster(first, fast)
    assert (first.tokens_per_second, first.job_seconds) == (10.0, 1.5)
    assert 10.0 < second.tokens_per_second < 20.0


def test_a_job_too_short_to_measure_leaves_the_speed_alone() -> None:
    before = ModelSpeed(model="m", tokens_per_second=10.0, job_seconds=1.0)
    assert rules.faster(before, a_result(engine_seconds=0.0, first_token_seconds=0.0)) == before


def test_one_strange_name_does_not_cost_the_other_offers() -> None:
    offers = [an_offer(model=name) for name in ("a", "x" * 201, "b\n", "", "a")]
    assert rules.presentable(offers) == (an_offer(model="a"),)
    assert len(rules.presentable(an_offer(model=f"m{number}") for number in range(600))) == 500


def test_a_model_that_was_only_loaded_is_no_news() -> None:
    assert rules.same_offers([an_offer(loaded=True)], [an_offer(loaded=False)])
    assert not rules.same_offers([an_offer()], [an_offer(context_tokens=1)])
    assert not rules.same_offers([an_offer()], [])


def test_pauses_grow_and_stay_bounded() -> None:
    assert list(itertools.islice(rules.pauses(), 8)) == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]


frames = st.lists(st.text("ab\u2028\x85\x0b", min_size=0, max_size=40).map("{}\n".format))


@given(frames, st.sampled_from(["", "half"]))
def test_frames_are_gathered_and_never_cut(lines: list[str], rest: str) -> None:
    text = "".join(line * 200 for line in lines) + rest
    pieces = rules.whole_frames(text)
    assert "".join(pieces) == text
    assert all(0 < len(piece) <= rules.CHUNK_CHARACTERS for piece in pieces)
    assert all(piece.endswith("\n") for piece in pieces[:-1])


def test_a_frame_that_is_too_long_for_a_chunk_is_cut() -> None:
    text = "{}\n" + "x" * (rules.CHUNK_CHARACTERS + 1) + "\n"
    assert [len(piece) for piece in rules.whole_frames(text)] == [3, rules.CHUNK_CHARACTERS, 2]
