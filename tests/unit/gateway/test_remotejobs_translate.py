"""The words of the remote jobs API: every state and fault has one, and the fields are those of its page (seeds/001)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from gridloom_contract.fault import Fault, FaultCode, FaultError
from gridloom_contract.jobs import Acceptance
from gridloom_contract.vocabulary import State
from gridloom_domain import ids
from gridloom_gateway.dialects.remotejobs import translate, wire
from gridloom_gateway.people import Caller
from gridloom_testing.builders import a_job, a_job_id, a_task

NOON = datetime(2024, 5, 6, 21, 26, 0, 999000, tzinfo=UTC)
CALLER = Caller(account="a" * 32, kid="kid00001", scopes=frozenset(), priority_boost=3)
COMMAND = '{"inputs": ["How can 1+1=10?"] }'


def fields_of(value: msgspec.Struct) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(value))
    return fields


def a_body(**changes: object) -> wire.SubmitJob:
    body = {"app": wire.APP, "commandLine": COMMAND, "tag": "gemma:2b"} | changes
    return msgspec.convert(body, wire.SubmitJob)


def submitted(**changes: object) -> list[Any]:
    return translate.to_submissions(a_body(**changes), CALLER, a_job_id(), None)


def shown(now: datetime = NOON, **changes: Any) -> dict[str, Any]:
    job = a_job(created_at=NOON, **changes)
    return fields_of(translate.from_job(job, "log", translate.STATUS, now))


def test_every_state_has_a_word() -> None:
    assert set(translate.STATUS) == set(State)


def test_every_fault_has_a_status() -> None:
    assert set(translate.HTTP) == set(FaultCode)


def test_the_only_documented_word_is_ours() -> None:
    assert translate.STATUS[State.RUNNING] == "running"


def test_an_operator_may_have_other_words() -> None:
    words = translate.to_words(["claimed=booting", "canceled=gone"])

    assert words == translate.STATUS | {State.CLAIMED: "booting", State.CANCELED: "gone"}


@pytest.mark.parametrize("row", ["", "claimed", "claimed=", "=booting", "asleep=zzz", "Claimed=x"])
def test_a_row_without_a_state_or_a_word_is_refused(row: str) -> None:
    with pytest.raises(ValueError, match="state=word"):
        translate.to_words([row])


@pytest.mark.parametrize("code", FaultCode)
def test_every_fault_is_a_refusal_with_a_sentence(code: FaultCode) -> None:
    body = fields_of(translate.from_fault(Fault(code=code, message="why")))

    assert list(body) == ["success", "error"]
    assert body["success"] is False
    assert body["error"].endswith("why")


def test_wrong_input_is_called_as_documented() -> None:
    body = translate.from_fault(Fault(code=FaultCode.INVALID, message="tag: missing"))

    assert body.error == "Invalid input format: tag: missing"


def test_a_submission_has_the_documented_meaning() -> None:
    (submission,) = submitted()

    assert (submission.dialect, submission.model, submission.priority) == ("remotejobs", "gemma:2b", 3)
    assert (submission.task.prompt, submission.task.inputs) == ("How can 1+1=10?", ())
    assert submission.timeout_seconds == 3600
    assert submission.echo == {"commandLine": COMMAND, "copy": 0}


def test_several_inputs_are_one_job() -> None:
    (submission,) = submitted(commandLine='{"inputs":["a","b"]}')

    assert (submission.task.prompt, submission.task.inputs) == (None, ("a", "b"))


def test_hours_are_a_limit_to_the_run_time() -> None:
    assert submitted(hours=0.5)[0].timeout_seconds == 1800


@pytest.mark.parametrize("change", [{"copies": 1}, {"copies": 16}, {"hours": 0.001}, {"hours": 168}, {"more": "x"}])
def test_what_is_at_the_edge_of_its_range_is_taken(change: dict[str, Any]) -> None:
    assert len(submitted(**change)) == change.get("copies", 1)


@pytest.mark.parametrize(
    "change",
    [
        {"app": "gridrepublic:other"},
        {"tag": ""},
        {"commandLine": {"inputs": ["x"]}},
        {"copies": 0},
        {"copies": 17},
        {"copies": 1.5},
        {"hours": 0},
        {"hours": 168.1},
        {"hours": "1"},
    ],
)
def test_what_is_out_of_its_range_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        a_body(**change)


def test_copies_are_jobs_of_their_own_and_the_same_when_asked_for_again() -> None:
    body, job = a_body(copies=3), a_job_id()
    first, again = (translate.to_submissions(body, CALLER, job, None) for _ in range(2))

    assert first == again
    assert first[0].job == job
    assert len({submission.job for submission in first}) == 3
    assert [submission.echo["copy"] for submission in first] == [0, 1, 2]


@pytest.mark.parametrize("text", ["", "x", "[]", "{}", '{"inputs":[]}', '{"inputs":[""]}', '{"inputs":[1]}', "[" * 99])
def test_a_command_line_that_is_none_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(FaultError) as raised:
        submitted(commandLine=text)

    assert (raised.value.fault.code, raised.value.fault.field) == (FaultCode.INVALID, "commandLine")


def test_ids_are_read_once_each_and_what_is_none_is_left_out() -> None:
    one, two = a_job_id(), a_job_id()

    assert translate.to_job_ids(f"{one},,{two},{one},nonsense,{ids.as_uuid(two)}") == [one, two]
    assert translate.to_job_ids(f" {one}, {two} ") == [one, two]


@pytest.mark.parametrize("text", ["", ",", "nonsense", "A" * 32])
def test_no_id_at_all_is_not_found(text: str) -> None:
    with pytest.raises(FaultError) as raised:
        translate.to_job_ids(text)

    assert raised.value.fault.code is FaultCode.NOT_FOUND


def test_accepted_jobs_are_a_list_of_hexadecimal_ids() -> None:
    job = a_job_id()

    assert fields_of(translate.from_acceptances([Acceptance(job=job)])) == {"success": True, "ids": [job]}


def test_a_running_job_is_the_documented_one() -> None:
    document = shown(
        NOON + timedelta(seconds=24),
        dialect="remotejobs",
        model="llama2-uncensored",
        state=State.RUNNING,
        started_at=NOON + timedelta(seconds=1),
        echo={"commandLine": COMMAND, "copy": 2},
    )

    assert document == {
        "vmStatus": "running",
        "states": {
            "default": {
                "status": "running",
                "outputFiles": [],
                "log": "log",
                "commandLine": COMMAND,
                "app": "gridrepublic:text-inference",
            }
        },
        "created": "2024-05-06T21:26:00+00:00",
        "copy": 2,
        "tag": "llama2-uncensored",
        "runtime": 23,
    }


def test_the_runtime_stands_still_after_the_end_and_before_the_start() -> None:
    later = NOON + timedelta(hours=1)
    ended = {"started_at": NOON, "ended_at": NOON + timedelta(seconds=5.9)}

    assert shown(later, state=State.SUCCEEDED, **ended)["runtime"] == 5
    assert shown(later)["runtime"] == 0


def test_a_job_that_failed_says_why() -> None:
    failed = shown(state=State.FAILED, error=Fault(code=FaultCode.UPSTREAM, message="no"))["states"]["default"]
    canceled = shown(state=State.CANCELED, reason="timeout")["states"]["default"]

    assert (failed["status"], failed["error"]) == ("error", "no")
    assert (canceled["status"], canceled["error"]) == ("cancelled", "timeout")


@pytest.mark.parametrize(
    "task",
    [
        a_task(messages=None, prompt="hi"),
        a_task(messages=None, inputs=("hi",)),
        a_task(messages=({"role": "user", "content": "hi"}, {"role": "user", "content": [{"type": "text"}]})),
        a_task(messages=None, raw={"messages": [{"role": "user", "content": "hi"}, "nonsense"]}),
    ],
)
def test_a_job_of_another_api_has_a_command_line_too(task: Any) -> None:
    echo = {"commandLine": "theirs", "copy": "theirs"}
    document = shown(dialect="other", task=task, echo=echo)

    assert document["states"]["default"]["commandLine"] == '{"inputs":["hi"]}'
    assert document["copy"] == 0


def test_a_job_shows_nothing_of_the_inside() -> None:
    assert set(shown(worker="w", account="a", key="k")) == {"vmStatus", "states", "created", "copy", "tag", "runtime"}
