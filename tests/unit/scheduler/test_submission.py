"""Submissions: what is refused by name, and the job that an accepted one becomes."""

from __future__ import annotations

import msgspec
import pytest

from gridloom_contract.base import encode
from gridloom_contract.fault import Fault, FaultCode, FaultError
from gridloom_contract.jobs import MAX_INLINE_BYTES, Submission, Task
from gridloom_contract.vocabulary import Match
from gridloom_scheduler.record import AttachedFile, InputSize
from gridloom_scheduler.rules.routes import model_in, rivals_of, route_of, routes_of, worker_in
from gridloom_scheduler.rules.submission import draft_of, unknown_model
from gridloom_scheduler.rules.views import job_view
from gridloom_testing.builders import a_submission, an_offer
from unit.scheduler.records import a_moment

WRAPPING = len(msgspec.json.encode(Task(prompt="")))


@pytest.mark.parametrize(
    ("submission", "route", "lane"),
    [
        (a_submission(model="llama:8b"), "m:llama:8b", "normal"),
        (a_submission(model="llama:8b", sync=True), "m:llama:8b", "high"),
        (a_submission(model="llama", match=Match.FAMILY, priority=3), "f:llama", "high"),
        (a_submission(model="llama:8b", node="wx", priority=-1), "w:wx", "low"),
    ],
)
def test_a_job_waits_on_one_route_and_travels_on_one_lane(submission: Submission, route: str, lane: str) -> None:
    draft = draft_of(submission, "llama", a_moment())

    assert (draft.route, draft.lane, draft.seq) == (route, lane, 1)
    assert len(draft.events) == 1


@pytest.mark.parametrize(
    ("submission", "size"),
    [
        (a_submission(task=Task(prompt="Grüße")), InputSize(text_characters=5, task_bytes=20)),
        (a_submission(task=Task(), task_ref="r", task_bytes=9_000), InputSize(text_characters=None, task_bytes=9_000)),
    ],
)
def test_a_job_knows_how_much_it_was_given(submission: Submission, size: InputSize) -> None:
    assert draft_of(submission, "llama", a_moment()).input_size == size


@pytest.mark.parametrize(
    ("submission", "code", "field"),
    [
        (a_submission(task=Task(prompt="x" * (MAX_INLINE_BYTES - WRAPPING + 1))), FaultCode.TOO_LARGE, "prompt"),
        (a_submission(echo={"": "x" * MAX_INLINE_BYTES}), FaultCode.TOO_LARGE, None),
        (a_submission(job="JOB"), FaultCode.INVALID, "job"),
        (a_submission(priority=10**9), FaultCode.INVALID, "priority"),
        (a_submission(timeout_seconds=-1.0), FaultCode.INVALID, "timeout_seconds"),
        (a_submission(timeout_seconds=1e12), FaultCode.INVALID, "timeout_seconds"),
        (a_submission(max_attempts=0), FaultCode.INVALID, "max_attempts"),
        (a_submission(match=Match.UNKNOWN), FaultCode.INVALID, "match"),
    ],
)
def test_what_cannot_be_carried_out_names_its_field(submission: Submission, code: FaultCode, field: str | None) -> None:
    with pytest.raises(FaultError) as refused:
        draft_of(submission, "llama", a_moment())

    assert (refused.value.fault.code, refused.value.fault.field) == (code, field)


def test_an_unknown_model_is_answered_with_some_that_are_known() -> None:
    message = unknown_model("gpt", [f"model{number:02}" for number in range(30)]).fault.message

    assert "'gpt'" in message
    assert "model00" in message
    assert message.endswith("…")


def test_a_worker_takes_from_the_routes_its_offers_name() -> None:
    offers = (an_offer(model="llama:8b"), an_offer(model="qwen:4b"))

    assert routes_of("wx", offers) == {"m:llama:8b", "f:llama", "m:qwen:4b", "f:qwen", "w:wx"}


def test_exact_jobs_stand_in_line_with_their_familys() -> None:
    assert rivals_of("m:llama:8b", "llama") == ("m:llama:8b", "f:llama")
    assert rivals_of("w:wx", "llama") == ("w:wx",)


def test_a_route_can_be_read_back() -> None:
    assert model_in(route_of(Match.EXACT, "llama:8b", "llama", None)) == "llama:8b"
    assert worker_in(route_of(Match.EXACT, "llama:8b", "llama", "wx")) == "wx"
    assert worker_in("m:wx") is None


def test_a_task_and_an_output_at_their_largest_fit_one_message_together() -> None:
    submission = a_submission(
        task=Task(prompt="x" * (MAX_INLINE_BYTES - WRAPPING)), echo={"": "x" * (MAX_INLINE_BYTES - 7)}
    )
    draft = draft_of(submission, "llama", a_moment())
    ended = msgspec.structs.replace(
        draft,
        output="x" * (MAX_INLINE_BYTES - 2),
        error=Fault(code=FaultCode.BAD_OUTPUT, message="\x01" * 2_000),
        attachments=tuple(AttachedFile(ref="r" * 64, content_type="image/jpeg") for _ in range(64)),
    )

    assert len(draft.task) == len(draft.echo) == MAX_INLINE_BYTES
    assert len(encode(job_view(ended))) < 900_000


def test_a_task_that_is_kept_elsewhere_costs_what_it_would_cost_here() -> None:
    text = "word " * 50_000
    here = draft_of(a_submission(task=Task(prompt=text)), "llama", a_moment())
    elsewhere = draft_of(a_submission(task=Task(), task_ref="obj_1", task_bytes=len(text)), "llama", a_moment())

    assert (here.task_ref, elsewhere.task_ref) == (None, "obj_1")
    assert here.cost == elsewhere.cost
