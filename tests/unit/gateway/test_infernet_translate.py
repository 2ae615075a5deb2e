"""Infernet's words: every state and fault has one, and the fields are those of its page (seeds/002; API.md §1.3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import msgspec
import pytest

from gridloom_contract.fault import Fault, FaultCode, FaultError
from gridloom_contract.fleet import ModelEntry
from gridloom_contract.jobs import Acceptance, JobPage
from gridloom_contract.vocabulary import Kind, State, Usage
from gridloom_domain import ids
from gridloom_domain.job import Reason
from gridloom_domain.rates import RateDecision
from gridloom_gateway import updates
from gridloom_gateway.dialects.infernet import sse, translate, wire
from gridloom_gateway.people import Caller
from gridloom_local.sse import SseParser
from gridloom_testing.builders import a_job, a_job_id, a_task

NOON = datetime(2026, 4, 30, 14, 23, 41, 900000, tzinfo=UTC)
CALLER = Caller(account="a" * 32, kid="kid00001", scopes=frozenset(), priority_boost=3)
HELLO = [{"role": "user", "content": "Hello!"}]
WAIT_SECONDS = 60.0


def fields_of(value: msgspec.Struct) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(value))
    return fields


def a_body(**changes: object) -> wire.SubmitJob:
    return msgspec.convert({"model": "qwen2.5:14b", "messages": HELLO} | changes, wire.SubmitJob)


def submitted(**changes: object) -> Any:
    return translate.to_submission(a_body(**changes), CALLER, a_job_id(), WAIT_SECONDS, None)


def events_in(frames: bytes) -> list[Any]:
    return [event.data for event in SseParser().feed(frames)]


def test_every_state_has_a_word() -> None:
    assert set(translate.STATUS) == set(State)


def test_every_fault_has_a_status_and_a_word() -> None:
    assert set(translate.ERRORS) == set(translate.HTTP) == set(FaultCode)


def test_every_update_has_a_frame() -> None:
    assert set(sse.FRAMES) == set(get_args(updates.Update))


def test_the_filters_cover_every_state_once() -> None:
    words = ("pending", "processing", "completed", "failed")
    covered = [state for word in words for state in translate.STATES[word]]

    assert sorted(covered) == sorted(set(State) - {State.UNKNOWN})
    assert all(translate.STATUS[state] == word for word in words for state in translate.STATES[word])
    assert translate.STATES["all"] == ()


def test_a_submission_has_the_documented_defaults() -> None:
    submission = submitted()

    assert (submission.dialect, submission.account, submission.key, submission.priority) == (
        "infernet",
        CALLER.account,
        CALLER.kid,
        3,
    )
    assert submission.task.messages == tuple(HELLO)
    assert submission.task.params == {"max_tokens": 512, "temperature": 0.7, "top_p": 1.0}
    assert (submission.listed, submission.capacity_wait_seconds, submission.node) == (True, WAIT_SECONDS, None)


def test_a_submission_keeps_what_was_asked_for() -> None:
    messages = [{"role": "tool", "content": None, "tool_call_id": "t1"}]
    submission = submitted(messages=messages, max_tokens=1, temperature=0, top_p=0.5, node_id="wabc")

    assert submission.task.messages == tuple(messages)
    assert submission.task.params == {"max_tokens": 1, "temperature": 0, "top_p": 0.5}
    assert submission.node == "wabc"


@pytest.mark.parametrize(
    ("wish", "is_sync", "needs_provider"),
    [
        ({}, False, False),
        ({"stream": False}, False, False),
        ({"stream": True}, True, True),
        ({"node_id": "w"}, False, True),
    ],
)
def test_a_stream_and_a_pinned_node_need_a_provider_at_once(
    wish: dict[str, Any], is_sync: bool, needs_provider: bool
) -> None:
    submission = submitted(**wish)

    assert (submission.sync, submission.needs_provider) == (is_sync, needs_provider)


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({}, "messages[0].role"),
        ({"role": 1}, "messages[0].role"),
        ({"role": "user", "content": 1}, "messages[0].content"),
        ({"role": "", "content": "x"}, "messages[0].role"),
    ],
)
def test_a_message_that_is_none_is_refused_by_its_field(message: dict[str, Any], field: str) -> None:
    with pytest.raises(FaultError) as raised:
        submitted(messages=[message])

    assert (raised.value.fault.code, raised.value.fault.field) == (FaultCode.INVALID, field)


@pytest.mark.parametrize(
    "change",
    [
        {"messages": []},
        {"messages": "hello"},
        {"messages": ["hello"]},
        {"model": ""},
        {"model": None},
        {"max_tokens": 0},
        {"max_tokens": 1.5},
        {"max_tokens": True},
        {"temperature": -0.1},
        {"temperature": 2.1},
        {"temperature": "hot"},
        {"top_p": 1.1},
        {"top_p": -1},
        {"stream": "yes"},
        {"node_id": ""},
        {"node_id": 7},
    ],
)
def test_what_is_out_of_its_range_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        a_body(**change)


@pytest.mark.parametrize(
    "change",
    [
        {"max_tokens": 1},
        {"max_tokens": 1_000_000},
        {"max_tokens": None},
        {"temperature": 0},
        {"temperature": 2.0},
        {"top_p": 0.0},
        {"top_p": 1},
        {"stream": None},
        {"node_id": "node_8f3a2c1d"},
        {"nobody": "knows"},
    ],
)
def test_what_is_at_the_edge_of_its_range_is_taken(change: dict[str, Any]) -> None:
    submission = submitted(**change)
    ((name, value),) = change.items()
    assert submission.task.params.get(name, value) == (512 if change == {"max_tokens": None} else value)


@pytest.mark.parametrize("change", [str.upper, lambda name: name.removeprefix("job_"), lambda _: "job_9a3f2c1d"])
def test_an_id_in_another_form_is_not_found(change: Any) -> None:
    with pytest.raises(FaultError) as raised:
        translate.to_job_id(change(ids.as_prefixed(a_job_id())))

    assert raised.value.fault.code is FaultCode.NOT_FOUND


def test_an_accepted_job_is_pending_and_timed_in_seconds() -> None:
    job = a_job_id()

    assert fields_of(translate.from_acceptance(Acceptance(job=job, created_at=NOON), "qwen2.5:14b")) == {
        "id": f"job_{job}",
        "status": "pending",
        "model": "qwen2.5:14b",
        "created_at": "2026-04-30T14:23:41Z",
    }


def test_a_completed_job_is_the_documented_one() -> None:
    job = a_job(
        state=State.SUCCEEDED,
        worker="wabcdefghijkl",
        output="Paris is the capital of France.",
        usage=Usage(tokens_in=24, tokens_out=8),
        created_at=NOON,
        ended_at=NOON + timedelta(milliseconds=2041),
    )

    assert fields_of(translate.from_job(job)) == {
        "id": f"job_{job.job}",
        "status": "completed",
        "model": job.model,
        "node_id": "wabcdefghijkl",
        "result": {
            "content": "Paris is the capital of France.",
            "usage": {"prompt_tokens": 24, "completion_tokens": 8, "total_tokens": 32},
        },
        "created_at": "2026-04-30T14:23:41Z",
        "completed_at": "2026-04-30T14:23:43Z",
        "latency_ms": 2041,
    }


def test_a_failed_job_says_why() -> None:
    fault = Fault(code=FaultCode.NO_CAPACITY, message="no node")
    document = fields_of(translate.from_job(a_job(state=State.FAILED, error=fault)))

    assert (document["status"], document["error"], document["error_message"]) == ("failed", "no_capacity", "no node")
    assert "result" not in document


@pytest.mark.parametrize("reason", [None, *Reason])
def test_a_canceled_job_looks_failed_and_says_so(reason: str | None) -> None:
    document = fields_of(translate.from_job(a_job(state=State.CANCELED, reason=reason, output="half a")))

    assert (document["status"], document["error"]) == ("failed", "canceled")
    assert document["error_message"]
    assert "result" not in document


def test_a_job_of_an_openai_client_shows_its_text() -> None:
    body = '{"choices":[{"index":0,"message":{"role":"assistant","content":"Paris"}}]}'
    job = a_job(state=State.SUCCEEDED, task=a_task(messages=None, raw={}), output=body)

    assert fields_of(translate.from_job(job))["result"] == {"content": "Paris"}


def test_a_job_shows_nothing_of_the_inside() -> None:
    shown = set(fields_of(translate.from_job(a_job(state=State.RUNNING, echo={"secret": 1}, account="acc"))))

    assert shown == {"id", "status", "model", "created_at"}


def test_a_listing_asks_for_the_newest_of_this_api_only() -> None:
    query = wire.ListQuery(limit=500, status="failed", since="2026-04-30T14:23:41Z")
    asked = translate.to_listing(query, "acc")

    assert (asked.account, asked.dialects, asked.listed, asked.per_page) == ("acc", ("infernet",), True, 100)
    assert asked.states == (State.FAILED, State.CANCELED)
    assert asked.since == datetime(2026, 4, 30, 14, 23, 41, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2026-04-30T14:00:00Z", 14),
        ("2026-04-30T14:00:00", 14),
        ("2026-04-30T16:00:00+02:00", 14),
        ("2026-04-30T16:00:00 02:00", 14),
        ("2026-04-30 14:00", 14),
        ("2026-04-30", 0),
    ],
)
def test_a_time_may_be_written_as_iso_8601_allows(text: str, hour: int) -> None:
    assert translate.to_moment(text) == datetime(2026, 4, 30, hour, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "yesterday", "1746020400", "2026-13-01", "0001-01-01T00:00:00+23:59"])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(FaultError) as raised:
        translate.to_moment(text)

    assert (raised.value.fault.code, raised.value.fault.field) == (FaultCode.INVALID, "since")


def test_a_page_and_models_have_their_envelopes() -> None:
    chat = ModelEntry(model="qwen2.5:14b", family="qwen2.5", workers=12, tokens_per_second=78.04)
    other = ModelEntry(model="embedder", family="e", kind=Kind.EMBEDDING, workers=1)

    assert list(fields_of(translate.from_page(JobPage(jobs=(a_job(),), total=9)))) == ["jobs"]
    assert fields_of(translate.from_models((chat, other))) == {
        "models": [{"id": "qwen2.5:14b", "nodes": 12, "avg_tokens_per_second": 78.0}]
    }


def test_the_rate_is_told_as_documented() -> None:
    decision = RateDecision(True, 60, 47, datetime.fromtimestamp(1746020400, UTC))

    assert translate.from_decision(decision) == {
        "X-RateLimit-Limit": "60",
        "X-RateLimit-Remaining": "47",
        "X-RateLimit-Reset": "1746020400",
    }


def test_a_stream_is_text_and_done() -> None:
    said = sse.to_frame(updates.Said("Paris", 1, 5))

    assert said == b'id: 1-5\ndata: {"text":"Paris"}\n\n'
    assert sse.to_frame(updates.Ended(a_job(state=State.SUCCEEDED, output="Paris"), 5)) == b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("job", "word"),
    [
        (a_job(state=State.CANCELED), "canceled"),
        (a_job(state=State.FAILED, error=Fault(code=FaultCode.WORKER_LOST, message="gone")), "node_disconnected"),
        (a_job(state=State.FAILED), "internal_error"),
    ],
)
def test_a_stream_that_fails_says_why_and_is_done(job: Any, word: str) -> None:
    error, done = events_in(sse.to_frame(updates.Ended(job, 0)))

    assert msgspec.json.decode(error).keys() == {"error", "message"}
    assert (msgspec.json.decode(error)["error"], done) == (word, "[DONE]")


def test_another_answer_after_a_lost_node_is_told_as_its_loss() -> None:
    error, done = events_in(sse.to_frame(updates.StartedOver(2)))

    assert (msgspec.json.decode(error)["error"], done) == ("node_disconnected", "[DONE]")


def test_line_ends_that_are_legal_in_json_are_escaped() -> None:
    assert b'{"text":"\\u2028\\u2029\\u0085"}' in sse.to_frame(updates.Said("\u2028\u2029\u0085", 1, 3))
