"""Enclosures: what goes along with an order but is kept by the blob service, for which the order has URLs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gridloom_contract.blobs import PresignedObject
from gridloom_contract.work import Attachment
from gridloom_scheduler.record import JobRecord


@dataclass(frozen=True)
class Enclosures:
    """What an order carries besides the job's document; the URLs are good for a while and never stored."""

    attachments: tuple[Attachment, ...] = ()
    task_url: str | None = None


@dataclass(frozen=True)
class Easy:
    """What jobs must be without to be looked for beyond those that cannot be placed now."""

    without: tuple[str, ...]


UNTRIED = Easy(("excluded",))
"""No worker has failed them yet."""
UNTRIED_AND_PLAIN = Easy(("excluded", "task_ref", "attachments"))
"""Nor do they need URLs."""

NOTHING_ENCLOSED = Enclosures()


def has_enclosures(job: JobRecord) -> bool:
    """Whether an order for the job needs URLs."""
    return job.task_ref is not None or bool(job.attachments)


def refs_of(job: JobRecord) -> tuple[str, ...]:
    """Return what URLs are needed for."""
    files = tuple(file.ref for file in job.attachments)
    return files if job.task_ref is None else (*files, job.task_ref)


def enclosures_of(job: JobRecord, found: Mapping[str, PresignedObject]) -> Enclosures | None:
    """Return what goes with the order; None if something is gone, so that no worker can ever do the job."""
    urls = {ref: found[ref].url if ref in found else None for ref in refs_of(job)}
    attachments = tuple(
        Attachment(kind=_kind_of(file.content_type), url=url, content_type=file.content_type)
        for file in job.attachments
        if (url := urls[file.ref]) is not None
    )
    if None in urls.values():
        return None
    return Enclosures(attachments, urls[job.task_ref] if job.task_ref is not None else None)


def _kind_of(content_type: str) -> str:
    return content_type.partition("/")[0]
