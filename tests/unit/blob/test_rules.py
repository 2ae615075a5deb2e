"""What is an image, what an account may keep, and what becomes of an object in time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gridloom_blob.record import Blob, Holdings, Phase, id_of
from gridloom_blob.rules import (
    Attach,
    Doom,
    Limits,
    Wait,
    check_limits,
    check_size,
    fate,
    has_expired,
    is_over,
    judged_image,
    judged_object,
    object_key,
    refers_to,
)
from gridloom_contract.blobs import Purpose
from gridloom_contract.vocabulary import State
from gridloom_domain.errors import Conflict, Invalid, RateLimited, TooLarge, UnsupportedMedia
from gridloom_testing.builders import a_job
from unit.blob.objects import NOON, TERMS, a_blob

MINUTE = timedelta(minutes=1)
LIVE = (State.HELD, State.QUEUED, State.CLAIMED, State.RUNNING)
ENDED = (State.SUCCEEDED, State.FAILED, State.CANCELED)


def test_an_image_is_judged_by_its_size_first() -> None:
    with pytest.raises(TooLarge):
        judged_image(11, b"", 10)
    with pytest.raises(UnsupportedMedia):
        judged_image(10, b"text", 10)
    assert judged_image(10, b"GIF89a", 10) == "image/gif"


def test_an_object_has_the_size_that_was_announced() -> None:
    task = a_blob(purpose=Purpose.TASK, size_bytes=10)
    assert judged_object(10, task) == "application/json"
    for size in (0, 9, 11):
        with pytest.raises(Conflict):
            judged_object(size, task)


@pytest.mark.parametrize(("size", "error"), [(0, Invalid), (-1, Invalid), (11, TooLarge)])
def test_an_impossible_size_is_refused(size: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        check_size(size, 10)


def test_a_size_at_the_limit_is_taken() -> None:
    check_size(1, 10)
    check_size(10, 10)


def test_a_key_names_account_and_job() -> None:
    assert object_key("acc1", "job1", "f00d") == "acc1/job1/f00d"


@pytest.mark.parametrize("word", ["", "..", "a/b", "a b", "ä", "a\n", "x" * 129])
def test_what_is_not_a_plain_word_is_in_no_key(word: str) -> None:
    with pytest.raises(Invalid):
        object_key(word, "job1", "f00d")
    with pytest.raises(Invalid):
        object_key("acc1", word, "f00d")


@pytest.mark.parametrize(
    ("held", "is_refused"),
    [
        (Holdings(objects=3, size_bytes=100, open_slots=2), False),
        (Holdings(objects=4, size_bytes=100, open_slots=2), True),
        (Holdings(objects=3, size_bytes=101, open_slots=2), True),
        (Holdings(objects=3, size_bytes=100, open_slots=3), True),
    ],
)
def test_an_account_keeps_no_more_than_its_limits(held: Holdings, is_refused: bool) -> None:
    limits = Limits(max_bytes=100, max_objects=3, max_open_slots=2)
    if not is_refused:
        check_limits(held, limits)
        return
    with pytest.raises(RateLimited) as refused:
        check_limits(held, limits)
    assert refused.value.fault.retry_after_seconds


def test_a_ref_is_the_id_with_a_prefix() -> None:
    blob = a_blob()
    assert blob.ref == f"obj_{blob.id}"
    assert id_of(blob.ref) == blob.id
    assert id_of(blob.id) == id_of("") == id_of("task/1") == ""


def test_spare_keys_are_all_but_the_sealed_one() -> None:
    assert a_blob(keys=("a", "b", "c"), key="b").spare_keys == ("a", "c")
    assert a_blob(keys=("a",)).spare_keys == ("a",)


@pytest.mark.parametrize("field", ["task_ref", "output_ref", "attachments"])
def test_a_job_refers_to_an_object_by_task_output_or_attachment(field: str) -> None:
    blob = a_blob()
    named = (blob.ref,) if field == "attachments" else blob.ref
    assert refers_to(a_job(**{field: named}), blob)
    assert not refers_to(a_job(), blob)


def test_only_a_slot_expires_without_anybody_being_asked() -> None:
    assert has_expired(a_blob())
    assert not has_expired(a_blob(phase=Phase.SEALED))
    assert not has_expired(a_blob(purpose=Purpose.TASK))


def test_a_file_of_an_account_expires_unused_or_at_its_end() -> None:
    file = a_blob(purpose=Purpose.FILE, expires_at=NOON)
    assert has_expired(file)
    assert is_over(file, NOON)
    assert not is_over(file, NOON - timedelta(seconds=1))
    assert not is_over(a_blob(), NOON)


@pytest.mark.parametrize("phase", [Phase.OPEN, Phase.SEALED, Phase.ATTACHED])
@pytest.mark.parametrize("purpose", [Purpose.IMAGE, Purpose.TASK, Purpose.OUTPUT])
@pytest.mark.parametrize("state", [*LIVE, *ENDED])
def test_what_a_job_refers_to_is_attached_in_any_state(purpose: Purpose, phase: Phase, state: State) -> None:
    blob = a_blob(purpose=purpose, phase=phase)
    assert fate(blob, a_job(state=state, attachments=(blob.ref,))) == Attach()


@pytest.mark.parametrize("state", ENDED + LIVE)
def test_the_body_of_a_webhook_is_kept_as_long_as_the_data_of_its_job(state: State) -> None:
    body = a_blob(purpose=Purpose.EVENT)

    assert fate(body, a_job(state=state)) == Attach()
    assert fate(body, a_job(state=state, data_removed=True)) == Doom("orphan")


@pytest.mark.parametrize("purpose", [Purpose.IMAGE, Purpose.TASK, Purpose.OUTPUT, Purpose.EVENT])
def test_without_a_job_an_object_is_an_orphan(purpose: Purpose) -> None:
    assert fate(a_blob(purpose=purpose), None) == Doom("orphan")


@pytest.mark.parametrize("state", [*LIVE, *ENDED])
def test_what_was_attached_once_stays_as_long_as_its_jobs_data(state: State) -> None:
    blob = a_blob(phase=Phase.ATTACHED)
    assert fate(blob, a_job(state=state)) == Attach()
    assert fate(blob, a_job(state=state, data_removed=True)) == Doom("orphan")
    assert fate(blob, a_job(state=state, data_removed=True, attachments=(blob.ref,))) == Doom("orphan")


@pytest.mark.parametrize("state", LIVE)
def test_an_output_waits_while_its_job_lives(state: State) -> None:
    assert fate(a_blob(purpose=Purpose.OUTPUT), a_job(state=state)) == Wait()
    assert fate(a_blob(purpose=Purpose.TASK), a_job(state=state)) == Doom("orphan")


@pytest.mark.parametrize("state", ENDED)
def test_an_output_that_an_ended_job_does_not_name_is_an_orphan(state: State) -> None:
    assert fate(a_blob(purpose=Purpose.OUTPUT), a_job(state=state)) == Doom("orphan")


def test_a_slot_is_looked_at_when_it_has_expired_and_others_after_an_hour() -> None:
    expires = NOON + 15 * MINUTE
    assert TERMS.first_check(Purpose.IMAGE, NOON, expires) == NOON + 17 * MINUTE
    assert TERMS.first_check(Purpose.TASK, NOON, expires) == NOON + 60 * MINUTE
    assert TERMS.first_check(Purpose.OUTPUT, NOON, NOON + 90 * MINUTE) == NOON + 90 * MINUTE


def test_an_attached_object_is_looked_at_when_uploads_are_history_and_then_each_week() -> None:
    blob = a_blob()
    assert TERMS.next_check(blob, NOON) == NOON + 75 * MINUTE
    assert TERMS.next_check(blob, NOON + 75 * MINUTE) == NOON + 75 * MINUTE + timedelta(days=7)


def doomed(minutes: int) -> Blob:
    return a_blob(phase=Phase.DOOMED, doomed_at=NOON + minutes * MINUTE)


def test_a_doomed_object_is_deleted_again_when_nobody_can_be_writing_any_more() -> None:
    assert TERMS.last_erasure(doomed(17)) == NOON + 75 * MINUTE
    assert TERMS.last_erasure(doomed(74)) == NOON + 76 * MINUTE
    assert TERMS.last_erasure(doomed(10_000)) == NOON + 10_002 * MINUTE
