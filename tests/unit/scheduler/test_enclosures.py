"""What goes along with an order: a URL for each file and for a large task, or nothing at all if something is gone."""

from __future__ import annotations

from gridloom_contract.blobs import PresignedObject
from gridloom_contract.work import Attachment
from gridloom_scheduler.record import AttachedFile
from gridloom_scheduler.rules.enclosures import Enclosures, enclosures_of, has_enclosures, refs_of
from unit.scheduler.records import a_record

PICTURE = AttachedFile(ref="b1", content_type="image/png")
PHOTO = AttachedFile(ref="b2", content_type="image/jpeg")


def found(**urls: str | None) -> dict[str, PresignedObject]:
    """These objects, with these URLs."""
    return {ref: PresignedObject(ref=ref, url=url) for ref, url in urls.items()}


def test_a_usual_job_has_none() -> None:
    assert not has_enclosures(a_record())
    assert refs_of(a_record()) == ()


def test_files_and_the_task_are_asked_for_together() -> None:
    job = a_record(attachments=(PICTURE, PHOTO), task_ref="t1")

    assert has_enclosures(job)
    assert refs_of(job) == ("b1", "b2", "t1")


def test_files_go_in_their_order_with_their_types() -> None:
    enclosures = enclosures_of(a_record(attachments=(PICTURE, PHOTO)), found(b2="http://s3/2", b1="http://s3/1"))

    assert enclosures == Enclosures(
        (
            Attachment(kind="image", url="http://s3/1", content_type="image/png"),
            Attachment(kind="image", url="http://s3/2", content_type="image/jpeg"),
        )
    )


def test_a_large_task_goes_as_its_url() -> None:
    assert enclosures_of(a_record(task_ref="t1"), found(t1="http://s3/t")) == Enclosures(task_url="http://s3/t")


def test_nothing_goes_if_something_is_gone() -> None:
    job = a_record(attachments=(PICTURE,), task_ref="t1")

    assert enclosures_of(job, found(b1="http://s3/1", t1=None)) is None
    assert enclosures_of(job, found(b1=None, t1="http://s3/t")) is None
    assert enclosures_of(job, found(t1="http://s3/t")) is None
