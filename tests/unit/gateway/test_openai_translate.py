"""The OpenAI surface's words: every state and fault has one, and what is not the gateway's passes through untouched."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom_contract.fault import Fault, FaultCode
from gridloom_contract.fleet import ModelEntry
from gridloom_contract.jobs import Acceptance, Job, JobPage, Task
from gridloom_contract.vocabulary import Kind, State, Usage
from gridloom_domain import ids
from gridloom_domain.errors import Invalid, NotFound, RateLimited
from gridloom_domain.job import Reason
from gridloom_gateway.dialects.openai.routes import render
from gridloom_gateway.dialects.openai.routes.answering import MANNERS
from gridloom_gateway.dialects.openai.routes.inference import wish_in
from gridloom_gateway.dialects.openai.translate import bodies, faults, jobs, models, names, requests
from gridloom_gateway.dialects.openai.translate.requests import Manner, Wish
from gridloom_gateway.dialects.openai.wire import jobs as wire
from gridloom_gateway.dialects.openai.wire.requests import ChatRequest, CompletionRequest, EmbeddingRequest, Inference
from gridloom_gateway.people import Caller
from gridloom_testing.builders import a_job, a_job_id

NOON = datetime(2026, 6, 20, 12, 0, tzinfo=UTC)
CALLER = Caller(account="a" * 32, kid="kid00001", scopes=frozenset(), priority_boost=3)
HELLO = {"model": "m", "messages": [{"role": "user", "content": "Say hello"}]}


def a_wish(kind: Kind = Kind.CHAT, wanted: type[Inference] = ChatRequest, **changes: Any) -> Wish:
    return wish_in(HELLO | changes, kind, wanted)


def submitted(wish: Wish) -> Any:
    return requests.to_submission(wish, CALLER, a_job_id(), None, 60.0)


def a_raw_job(output: Any, kind: Kind = Kind.CHAT, raw: dict[str, Any] | None = None, **changes: Any) -> Job:
    text = output if isinstance(output, str) else msgspec.json.encode(output).decode()
    return a_job(**{"state": State.SUCCEEDED, "task": Task(kind=kind, raw=raw or {}), "output": text} | changes)


def shown(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def test_every_fault_has_a_status_a_type_a_code_and_a_word_about_trying_again() -> None:
    for table in (faults.HTTP, faults.TYPE, faults.CODE, faults.SHOULD_RETRY):
        assert set(table) == set(FaultCode)


def test_every_state_has_a_word_and_every_word_its_states() -> None:
    assert set(jobs.STATUS) == set(State)
    assert sorted(state for states in jobs.STATES.values() for state in states) == sorted(set(State) - {State.UNKNOWN})
    assert all(jobs.STATUS[state] == word for word, states in jobs.STATES.items() for state in states)


def test_every_kind_has_its_words_and_every_manner_its_way() -> None:
    assert set(names.INFERENCE_TYPE) == set(Kind)
    assert set(requests.COMPLETED) == set(Kind) - {Kind.UNKNOWN}
    assert set(MANNERS) == set(Manner)


def test_an_error_is_in_both_shapes_and_says_when_to_come_back() -> None:
    answer = render(RateLimited("slower", "model", retry_after_seconds=1.5), "r1")
    assert isinstance(answer.body, bytes)
    assert msgspec.json.decode(answer.body) == {
        "error": {"message": "slower", "type": "rate_limit_exceeded", "code": "rate_limit_exceeded", "param": "model"},
        "detail": "slower",
    }
    assert answer.status == 429
    assert answer.headers["Retry-After"] == "2"
    assert answer.headers["Retry-After-Ms"] == "1500"
    assert answer.headers["X-Should-Retry"] == "true"


@pytest.mark.parametrize(("seconds", "word"), [(0.5, "true"), (120.0, "true"), (121.0, "false"), (86_400.0, "false")])
def test_nobody_is_told_to_try_again_who_would_do_so_much_too_soon(seconds: float, word: str) -> None:
    answer = render(RateLimited("no room before midnight", retry_after_seconds=seconds), "r1")
    assert answer.headers["X-Should-Retry"] == word


unknown_names = st.text(min_size=1, max_size=8).filter(lambda name: name not in requests.CONSUMED)


@given(st.dictionaries(unknown_names, st.integers() | st.text() | st.lists(st.none()), max_size=6))
def test_what_nobody_knows_goes_to_the_engine_untouched(unknown: dict[str, Any]) -> None:
    body = unknown | HELLO
    taken = {"stream": True, "stream_options": {"include_usage": True}, "visibility": "all", "collection": "c"}
    raw = wish_in(body | taken, Kind.CHAT, ChatRequest).raw
    assert raw == {name: value for name, value in body.items() if name not in requests.CONSUMED}


@pytest.mark.parametrize(
    ("told", "manner"),
    [
        ({}, Manner.WHOLE),
        ({"stream": False, "async": False}, Manner.WHOLE),
        ({"stream": None, "async": None}, Manner.WHOLE),
        ({"stream": True}, Manner.STREAMED),
        ({"async": True}, Manner.LATER),
        ({"async": True, "stream": True}, Manner.LATER),
    ],
)
def test_a_request_says_how_it_is_answered(told: dict[str, Any], manner: Manner) -> None:
    assert a_wish(**told).manner is manner


@pytest.mark.parametrize(
    ("told", "manner"),
    [({}, Manner.WHOLE), ({"stream": True}, Manner.WHOLE), ({"stream": True, "async": True}, Manner.LATER)],
)
def test_vectors_come_whole_whatever_is_said_of_a_stream(told: dict[str, Any], manner: Manner) -> None:
    wish = wish_in({"model": "m", "input": "loom"} | told, Kind.EMBEDDING, EmbeddingRequest)
    assert (wish.manner, "stream" in wish.raw) == (manner, False)


def test_only_words_can_be_followed() -> None:
    jobs.check_is_spoken(a_raw_job({}, Kind.CHAT))
    jobs.check_is_spoken(a_raw_job({}, Kind.COMPLETION))
    with pytest.raises(NotFound, match="no stream"):
        jobs.check_is_spoken(a_raw_job({}, Kind.EMBEDDING))


@pytest.mark.parametrize(
    ("body", "kind", "wanted", "field"),
    [
        ({"model": "m"}, Kind.CHAT, ChatRequest, "messages"),
        ({"model": "m"}, Kind.COMPLETION, CompletionRequest, "prompt"),
        ({"model": "m"}, Kind.EMBEDDING, EmbeddingRequest, "input"),
        ({"prompt": "once"}, Kind.COMPLETION, CompletionRequest, "model"),
    ],
)
def test_what_is_missing_has_a_code(body: dict[str, Any], kind: Kind, wanted: Any, field: str) -> None:
    with pytest.raises(Invalid) as raised:
        wish_in(body, kind, wanted)
    told = faults.from_error(raised.value).error
    assert (told.type, told.code, told.param) == ("invalid_request", f"missing_{field}", field)


def test_a_request_that_waits_is_served_first_soon_or_never_and_in_no_list() -> None:
    submission = submitted(a_wish(stream=True))
    assert (submission.sync, submission.needs_provider, submission.listed) == (True, True, False)
    assert submission.capacity_wait_seconds == 60.0
    assert (submission.dialect, submission.model, submission.priority) == ("openai", "m", 3)


def test_a_request_for_later_waits_for_as_long_as_it_takes() -> None:
    submission = submitted(a_wish(**{"async": True, "visibility": "private", "collection": "songs"}))
    assert (submission.sync, submission.needs_provider, submission.listed) == (False, False, True)
    assert submission.capacity_wait_seconds is None
    assert submission.echo == {"visibility": "private", "collection": "songs"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": ["hello"]}, "messages[0]"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": []}, "stream_options"),
        ({"async": 1}, "async"),
    ],
)
def test_what_the_gateway_reads_must_be_right(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        a_wish(**changes)
    assert caught.value.fault.field is not None
    assert field in (caught.value.fault.field, caught.value.fault.field.replace("[...]", "[0]"))


@pytest.mark.parametrize(("told", "wanted"), [({}, "float"), ({"encoding_format": "base64"}, "base64")])
def test_vectors_are_numbers_unless_they_are_wanted_packed(told: dict[str, Any], wanted: str) -> None:
    wish = wish_in({"model": "m", "input": "loom"} | told, Kind.EMBEDDING, EmbeddingRequest)
    assert wish.raw == {"input": "loom", "encoding_format": wanted}


def test_a_prompt_may_be_several_or_in_tokens() -> None:
    for prompt in ("once", ["once", "twice"], [1, 2, 3], [[1], [2]]):
        assert wish_in({"model": "m", "prompt": prompt}, Kind.COMPLETION, CompletionRequest).raw == {"prompt": prompt}


@given(st.dictionaries(st.text(max_size=6), st.integers() | st.text(max_size=4), max_size=4))
def test_a_body_gets_its_names_and_nothing_else_changes(body: dict[str, Any]) -> None:
    job = a_raw_job(body)
    told = msgspec.json.decode(bodies.body_of(job))
    named = {"id", "object", "created", "model"}
    assert {name: value for name, value in told.items() if name not in named} == {
        name: value for name, value in body.items() if name not in named
    }
    assert named <= told.keys()


@pytest.mark.parametrize("said", [{}, {"usage": None}, {"usage": {"prompt_tokens": 9}}])
def test_tokens_that_the_engine_did_not_count_are_counted_by_the_grid(said: dict[str, Any]) -> None:
    job = a_raw_job({"choices": []} | said, usage=Usage(tokens_in=1, tokens_out=2))
    told = msgspec.json.decode(bodies.body_of(job))["usage"]
    assert told == (said.get("usage") or {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3})


async def test_a_body_that_comes_in_pieces_gets_the_same_names() -> None:
    job = a_raw_job({"choices": [], "x": "loom"})

    async def letters() -> Any:
        for letter in f"  {job.output}":
            yield letter

    found = b"".join([piece async for piece in bodies.named(names.names_of(job), letters())])
    assert found == bodies.body_of(job)


@pytest.mark.parametrize("output", ["", "loom", "[1]"])
def test_what_is_no_body_is_no_answer(output: str) -> None:
    with pytest.raises(Exception, match="bad_output"):
        bodies.body_of(a_raw_job(output))


@given(st.lists(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=5), min_size=1, max_size=3))
def test_vectors_are_packed_and_unpacked_for_engines_that_know_one_format(vectors: list[list[float]]) -> None:
    plain = {"data": [{"index": place, "embedding": vector} for place, vector in enumerate(vectors)]}
    packed = bodies.as_asked(
        a_raw_job(plain, Kind.EMBEDDING, {"encoding_format": "base64"}), msgspec.json.encode(plain).decode()
    )
    again = bodies.as_asked(a_raw_job(packed, Kind.EMBEDDING, {"encoding_format": "float"}), packed)

    assert all(isinstance(item["embedding"], str) for item in msgspec.json.decode(packed)["data"])
    assert [item["embedding"] for item in msgspec.json.decode(again)["data"]] == vectors


@pytest.mark.parametrize("data", [[{}], [{"embedding": "abc"}], [{"embedding": "????"}], {"a": {"embedding": "QUJD"}}])
def test_vectors_that_are_none_are_the_engines_fault(data: Any) -> None:
    broken = msgspec.json.encode({"data": data, "also": [{"embedding": "x"}]}).decode()
    job = a_raw_job(broken, Kind.EMBEDDING, {"encoding_format": "float"})
    with pytest.raises(Exception, match="bad_output"):
        bodies.as_asked(job, broken)


def test_a_job_of_text_alone_is_shown_as_an_answer() -> None:
    job = a_job(state=State.SUCCEEDED, output="loom", usage=Usage(tokens_in=1, tokens_out=2), finish_reason="length")
    body = msgspec.json.decode(bodies.body_of(job))
    assert body["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "loom"}, "finish_reason": "length"}
    ]
    assert body["usage"] == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


def test_a_job_shows_everything_and_its_result_once_it_is_there() -> None:
    times = {"claimed_at": NOON, "started_at": NOON, "ended_at": NOON + timedelta(seconds=1.25), "created_at": NOON}
    job = a_raw_job({"choices": []}, echo={"visibility": "all"}, worker="w1", attempt=1, **times)
    document = shown(jobs.from_job(job))
    assert document["id"] == ids.as_base32(job.job)
    assert (document["status"], document["latency_ms"], document["provider"]) == ("PROCESSED", 1250, "w1")
    assert (document["queued_at"], document["visibility"]) == ("2026-06-20T12:00:00.000Z", "all")
    assert document["result"]["object"] == "chat.completion"
    assert "collection" not in document


@pytest.mark.parametrize("state", [State.HELD, State.QUEUED, State.RUNNING, State.FAILED, State.CANCELED])
def test_a_job_without_an_answer_has_no_result(state: State) -> None:
    document = shown(jobs.from_job(a_job(state=state)))
    assert "result" not in document
    assert (document["error"] is not None) is (state in (State.FAILED, State.CANCELED))


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_of_a_cancellation_is_told(reason: Reason) -> None:
    failure = faults.failure_of(a_job(state=State.CANCELED, reason=reason))
    assert failure.fault.message
    assert failure.fault.code in faults.HTTP


def test_whoever_waited_in_vain_may_come_back() -> None:
    fault = Fault(code=FaultCode.NO_CAPACITY, message="busy")
    failure = faults.failure_of(a_job(state=State.FAILED, error=fault))
    assert failure.fault.code is FaultCode.UNAVAILABLE
    assert failure.fault.retry_after_seconds


@pytest.mark.parametrize(
    ("query", "states"),
    [
        ({}, ()),
        ({"status": "QUEUED"}, (State.HELD, State.QUEUED)),
        ({"active": True}, (State.HELD, State.QUEUED, State.CLAIMED, State.RUNNING)),
        ({"active": True, "status": "PROCESSING"}, (State.CLAIMED, State.RUNNING)),
        ({"active": True, "status": "FAILED"}, (State.UNKNOWN,)),
    ],
)
def test_filters_of_a_list_go_together(query: dict[str, Any], states: tuple[State, ...]) -> None:
    wanted = jobs.to_listing(wire.ListQuery(**query), "a1")
    assert wanted.states == states
    assert (wanted.dialects, wanted.listed, wanted.per_page) == (("openai",), True, 50)


def test_a_list_says_whether_there_is_more() -> None:
    page = JobPage(jobs=(a_job(),), total=2)
    assert jobs.from_page(page, wire.ListQuery(limit=1)).has_more is True
    assert jobs.from_page(page, wire.ListQuery(limit=1, page=2)).has_more is False


def test_an_envelope_is_the_same_however_often_it_is_given() -> None:
    job = a_job_id()
    first = jobs.from_acceptance(Acceptance(job=job, created_at=NOON), a_wish())
    again = jobs.from_acceptance(Acceptance(job=job, created_at=NOON, state=State.RUNNING), a_wish())
    assert first == again
    assert (first.status, first.inference_type) == ("QUEUED", "chat")


def test_an_id_has_one_form() -> None:
    job = a_job_id()
    assert names.to_job_id(ids.as_base32(job)) == job
    for other in (job, ids.as_uuid(job), ids.as_prefixed(job), ids.as_base32(job).upper()):
        with pytest.raises(NotFound):
            names.to_job_id(other)


def test_a_model_says_what_it_takes_and_gives() -> None:
    seeing = models.from_model(ModelEntry(model="a/b", family="a/b", features=("vision",), workers=2, context_tokens=8))
    vectors = models.from_model(ModelEntry(model="e", family="e", kind="embedding", first_seen_at=NOON))
    assert (seeing.service_type, seeing.input_modalities, seeing.output_modalities) == (
        "llm",
        ["text", "image"],
        ["text"],
    )
    assert (seeing.context_length, seeing.provider_count) == (8, 2)
    assert (vectors.service_type, vectors.output_modalities) == ("embedding", ["embedding"])
    assert vectors.created == int(NOON.timestamp())
    with pytest.raises(NotFound):
        models.named((), "a/b")
