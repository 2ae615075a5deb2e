"""The native API's words: every state and fault has one, and no field says more than it may."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args

import msgspec
import pytest

from gridloom_contract import events
from gridloom_contract.fault import Fault, FaultCode, FaultError
from gridloom_contract.fleet import ModelEntry
from gridloom_contract.jobs import Acceptance, JobPage, Timeline
from gridloom_contract.vocabulary import Match, State, Usage
from gridloom_contract.webhooks import WebhookOrder
from gridloom_domain import ids
from gridloom_domain.job import Reason
from gridloom_gateway import updates
from gridloom_gateway.dialects.native import stream, translate, wire
from gridloom_gateway.people import Caller
from gridloom_testing.builders import a_job, a_job_id

NOON = datetime(2026, 6, 20, 12, 0, tzinfo=UTC)
CALLER = Caller(account="a" * 32, kid="kid00001", scopes=frozenset(), priority_boost=3)


def fields_of(value: msgspec.Struct) -> dict[str, object]:
    fields: dict[str, object] = msgspec.json.decode(msgspec.json.encode(value))
    return fields


def a_body(**changes: object) -> wire.SubmitJob:
    return msgspec.convert({"model": "llama3:8b", "prompt": "Say hello"} | changes, wire.SubmitJob)


def test_every_state_has_a_word() -> None:
    assert set(translate.STATUS) == set(State)


def test_every_fault_has_a_status() -> None:
    assert set(translate.HTTP) == set(FaultCode)


def test_every_match_has_a_word() -> None:
    assert set(translate.MATCH_WORD) == set(Match)


def test_every_event_has_a_name() -> None:
    assert set(stream.EVENT_NAMES) == set(get_args(events.JobEvent))


def test_every_update_has_a_frame() -> None:
    assert set(stream.FRAMES) == set(get_args(updates.Update))


def test_the_filters_cover_every_state_once() -> None:
    words = ("pending", "claimed", "running", "completed", "failed")
    covered = [state for word in words for state in translate.STATES[word]]

    assert sorted(covered) == sorted(set(State) - {State.UNKNOWN})
    assert all(translate.STATUS[state] == word for word in words for state in translate.STATES[word])


def test_a_submission_has_the_documented_defaults() -> None:
    submission = translate.to_submission(a_body(), CALLER, a_job_id(), None, None)

    assert (submission.account, submission.key, submission.dialect) == (CALLER.account, CALLER.kid, "native")
    assert (submission.match, submission.timeout_seconds, submission.priority) == (Match.EXACT, 600.0, 3)
    assert submission.task.prompt == "Say hello"


def test_a_submission_keeps_what_was_asked_for() -> None:
    body = a_body(model_match="family", tag="t", priority=-2, timeout_seconds=5, webhook_url="https://x.test/hook?a=1")
    order = WebhookOrder(url="https://x.test/hook?a=1", sealed_key="sealed")
    submission = translate.to_submission(body, CALLER, a_job_id(), order, None)

    assert (submission.match, submission.tag, submission.priority) == (Match.FAMILY, "t", -2)
    assert (submission.timeout_seconds, submission.webhook) == (5.0, order)


@pytest.mark.parametrize(
    "change", [str.upper, lambda name: name.replace("-", ""), lambda name: f"job_{name}", lambda _: ""]
)
def test_an_id_in_another_form_is_not_found(change: object) -> None:
    name = ids.as_uuid(a_job_id())
    assert callable(change)

    with pytest.raises(FaultError) as raised:
        translate.to_job_id(change(name))

    assert raised.value.fault.code is FaultCode.NOT_FOUND


def test_an_accepted_job_is_named_twice_and_timed_in_milliseconds() -> None:
    job = a_job_id()
    answer = translate.from_acceptance(Acceptance(job=job, created_at=NOON + timedelta(milliseconds=7)))

    assert fields_of(answer) == {
        "job_id": ids.as_uuid(job),
        "id": ids.as_uuid(job),
        "status": "pending",
        "created_at": "2026-06-20T12:00:00.007Z",
    }


def test_a_completed_job_shows_its_output_and_what_it_took() -> None:
    job = a_job(
        state=State.SUCCEEDED,
        output="Hello",
        usage=Usage(tokens_in=34, tokens_out=142),
        started_at=NOON,
        ended_at=NOON + timedelta(seconds=8, milliseconds=200),
        served_model="llama3:8b-q4",
        attempt=1,
    )

    document = fields_of(translate.from_job(job))

    assert (document["status"], document["output"], document["id"]) == ("completed", "Hello", document["job_id"])
    assert (document["output_tokens"], document["input_tokens"], document["duration_ms"]) == (142, 34, 8200)
    assert (document["completed_at"], document["served_model"]) == ("2026-06-20T12:00:08.200Z", "llama3:8b-q4")
    assert "error" not in document
    assert "cancelled" not in document


@pytest.mark.parametrize(
    ("reason", "word"),
    [(Reason.USER, "cancelled"), (Reason.TIMEOUT, "timeout"), (Reason.DEADLINE, "timeout"), (None, "cancelled")],
)
def test_a_canceled_job_looks_failed_and_says_so(reason: str | None, word: str) -> None:
    document = fields_of(translate.from_job(a_job(state=State.CANCELED, reason=reason, output="half a")))

    assert (document["status"], document["cancelled"], document["error"]) == ("failed", True, word)
    assert "output" not in document


def test_a_failed_job_says_why() -> None:
    fault = Fault(code=FaultCode.UPSTREAM, message="the engine gave up")
    document = fields_of(translate.from_job(a_job(state=State.FAILED, error=fault)))

    assert (document["status"], document["error"]) == ("failed", "the engine gave up")
    assert "cancelled" not in document


def test_a_waiting_job_shows_its_place() -> None:
    document = fields_of(translate.from_job(a_job(queue_position=4, estimated_start_seconds=2.5)))

    assert (document["status"], document["queue_position"], document["estimated_start_seconds"]) == ("pending", 4, 2.5)


def test_a_job_shows_nothing_of_the_inside() -> None:
    job = a_job(state=State.RUNNING, worker="wabcdefghijkl", echo={"secret": 1}, node="wabcdefghijkl")
    shown = set(fields_of(translate.from_job(job)))

    assert shown.isdisjoint({"account", "key", "worker", "node", "echo", "dialect", "task", "type"})


def test_a_page_has_its_envelope() -> None:
    page = translate.from_page(JobPage(jobs=(a_job(),), total=51), wire.ListQuery(page=3))

    assert (page.page, page.per_page, page.total, page.total_pages, len(page.jobs)) == (3, 25, 51, 3, 1)


def test_an_empty_listing_has_no_pages() -> None:
    assert translate.from_page(JobPage(jobs=(), total=0), wire.ListQuery()).total_pages == 0


def test_a_model_has_a_worker_count() -> None:
    model = fields_of(translate.from_model(ModelEntry(model="llama3:8b", family="llama3", workers=2)))

    assert (model["id"], model["name"], model["model"], model["worker_count"]) == (*["llama3:8b"] * 3, 2)


@pytest.mark.parametrize("text", [None, "", "1", "1-", "-1", "a-b", "1-2-3-4", "1-٣", "-1--1", "1" * 40 + "-1"])
def test_a_strange_last_event_id_counts_as_none(text: str | None) -> None:
    assert translate.to_position(text) is None


def test_a_last_event_id_is_what_the_reader_has() -> None:
    assert translate.to_position("2-117") == updates.Position(attempt=2, sent=117)


def test_a_timeline_tells_what_its_owner_may_know() -> None:
    job = a_job_id()
    fault = Fault(code=FaultCode.WORKER_LOST, message="gone", field="inside")
    happened: dict[str, object] = {"job": job, "account": "secret", "at": NOON, "id": "inside"}
    requeued = events.JobRequeued(seq=3, attempt=1, reason="lease_lost", worker="w1", fault=fault, **happened)  # type: ignore[arg-type]
    ended = events.JobFinished(
        seq=4,
        state=State.SUCCEEDED,
        key="inside",
        model="m",
        dialect="native",
        usage=Usage(tokens_in=1, tokens_out=2),
        **happened,  # type: ignore[arg-type]
    )

    document = fields_of(stream.from_timeline(Timeline(job=job, events=(requeued, ended))))

    assert document["events"] == [
        {
            "seq": 3,
            "type": "requeued",
            "at": "2026-06-20T12:00:00.000Z",
            "attempt": 1,
            "reason": "lease_lost",
            "worker": "w1",
            "fault": {"code": "worker_lost", "message": "gone"},
        },
        {
            "seq": 4,
            "type": "finished",
            "at": "2026-06-20T12:00:00.000Z",
            "attempt": 0,
            "model": "m",
            "state": "succeeded",
            "usage": {"tokens_in": 1, "tokens_out": 2},
        },
    ]


def test_a_job_whose_retention_is_over_says_that_its_output_is_gone() -> None:
    kept = fields_of(translate.from_job(a_job(state=State.SUCCEEDED, output="hello")))
    purged = fields_of(translate.from_job(a_job(state=State.SUCCEEDED, data_removed=True)))

    assert "data_removed" not in kept
    assert purged["data_removed"] is True
    assert "output" not in purged


def test_a_submission_says_whether_files_will_follow() -> None:
    said = [
        translate.to_submission(a_body(**fields), CALLER, a_job_id(), None, None)
        for fields in ({}, {"expect_blobs": 0}, {"expect_blobs": 3})
    ]

    assert [(one.files, one.may_get_files) for one in said] == [(0, True), (0, False), (3, False)]
