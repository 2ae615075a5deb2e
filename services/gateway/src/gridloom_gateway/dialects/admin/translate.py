"""Between the operator's API and the office. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, TypeVar

from msgspec import UNSET

from gridloom_contract.fault import Fault, FaultCode
from gridloom_contract.fleet import EnrolWorker, WorkerEnrolled, WorkerEntry
from gridloom_contract.quota import VerifyReport
from gridloom_domain.errors import NotFound
from gridloom_gateway import keys
from gridloom_gateway.accounts import IssuedKey, KeyWish
from gridloom_gateway.dialects.admin import wire
from gridloom_gateway.people import SCOPES, Account, ApiKey, Page

Row = TypeVar("Row")

HTTP: Final[dict[FaultCode, int]] = {
    FaultCode.UNAUTHENTICATED: 401,
    FaultCode.FORBIDDEN: 403,
    FaultCode.INVALID: 422,
    FaultCode.UNKNOWN_MODEL: 422,
    FaultCode.NO_CAPACITY: 503,
    FaultCode.NOT_FOUND: 404,
    FaultCode.METHOD_NOT_ALLOWED: 405,
    FaultCode.CONFLICT: 409,
    FaultCode.TOO_LARGE: 413,
    FaultCode.UNSUPPORTED_MEDIA: 415,
    FaultCode.RATE_LIMITED: 429,
    FaultCode.REQUEST_TIMEOUT: 408,
    FaultCode.UNAVAILABLE: 503,
    FaultCode.UPSTREAM: 502,
    FaultCode.BAD_OUTPUT: 502,
    FaultCode.WORKER_LOST: 502,
    FaultCode.INTERNAL: 500,
    FaultCode.UNKNOWN: 500,
}

_ACCOUNT = re.compile(r"[0-9a-f]{32}", re.ASCII)
_WORKER = re.compile(r"w[a-z2-7]{12}", re.ASCII)


def to_account(text: str) -> str:
    """Return an account's id. Raises `NotFound` for what cannot be one."""
    if not _ACCOUNT.fullmatch(text):
        raise NotFound("there is no such account")
    return text


def to_kid(text: str) -> str:
    """Return a key's id. Raises `NotFound` for what cannot be one."""
    if not keys.is_kid(text):
        raise NotFound("there is no such key")
    return text


def to_worker(text: str) -> str:
    """Return a worker's id. Raises `NotFound` for what cannot be one: it becomes part of a subject."""
    if not _WORKER.fullmatch(text):
        raise NotFound("there is no such worker")
    return text


def to_key_wish(body: wire.IssueKey) -> KeyWish:
    """Return what the new key shall be like."""
    return KeyWish(body.name, tuple(body.scopes or SCOPES), body.expires_at)


def to_enrolment(body: wire.EnrolWorker) -> EnrolWorker:
    """Return the order to the scheduler."""
    return EnrolWorker(name=body.name, account=body.account, serves=tuple(body.serves))


def from_account(account: Account) -> wire.Account:
    """Return an account."""
    return wire.Account(
        id=account.id,
        name=account.name,
        priority_boost=account.priority_boost,
        created_at=moment(account.created_at),
        disabled_at=_moment_or_null(account.disabled_at),
    )


def from_key(key: ApiKey) -> wire.Key:
    """Return a key without anything from which it could be made."""
    return wire.Key(**_key_fields(key))


def from_issued(issued: IssuedKey) -> wire.IssuedKey:
    """Return a new key with its text."""
    return wire.IssuedKey(key=issued.text, **_key_fields(issued.key))


def from_enrolled(enrolled: WorkerEnrolled) -> wire.EnrolledWorker:
    """Return a new worker with its token."""
    return wire.EnrolledWorker(worker=enrolled.worker, name=enrolled.name, token=enrolled.token)


def from_worker(entry: WorkerEntry) -> wire.Worker:
    """Return a worker."""
    return wire.Worker(
        worker=entry.worker,
        name=entry.name,
        state=entry.state,
        account=entry.account,
        serves=list(entry.serves),
        offers=[
            wire.Offer(
                model=offer.model,
                family=offer.family,
                kind=str(offer.kind),
                context_length=offer.context_tokens,
                features=list(offer.features),
                loaded=offer.loaded,
            )
            for offer in entry.offers
        ],
        slots=entry.slots,
        free_slots=entry.free_slots,
        jobs=entry.jobs,
        speeds=[
            wire.Speed(model=speed.model, tokens_per_second=speed.tokens_per_second, job_seconds=speed.job_seconds)
            for speed in entry.speeds
        ],
        engine=entry.engine,
        version=entry.version,
        created_at=UNSET if entry.created_at is None else moment(entry.created_at),
        last_seen_at=UNSET if entry.last_seen_at is None else moment(entry.last_seen_at),
    )


def from_page(page: Page[Row], name: str, wanted: Callable[..., Any], translate: Callable[[Row], Any]) -> Any:
    """Return a listing of the type `wanted`, its rows under `name`."""
    rows = {name: [translate(row) for row in page.rows]}
    pages = -(-page.total // page.size)
    return wanted(**rows, page=page.number, per_page=page.size, total=page.total, total_pages=pages)


def from_proof(report: VerifyReport) -> wire.Proof:
    """Return what a proof of the books found."""
    differences = list(report.differences)
    return wire.Proof(is_clean=not differences, checked=report.checked, differences=differences)


def from_fault(fault: Fault, request_id: str, word: str | None = None) -> wire.Error:
    """Return the body of an error."""
    field = UNSET if fault.field is None else fault.field
    return wire.Error(error=word or str(fault.code), message=fault.message, request_id=request_id, field=field)


def moment(at: datetime) -> str:
    """Return a time in UTC with milliseconds and `Z`."""
    return f"{at.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def _moment_or_null(at: datetime | None) -> str | None:
    return None if at is None else moment(at)


def _key_fields(key: ApiKey) -> dict[str, Any]:
    return {
        "kid": key.kid,
        "account": key.account,
        "name": key.name,
        "scopes": list(key.scopes),
        "created_at": moment(key.created_at),
        "expires_at": _moment_or_null(key.expires_at),
        "revoked_at": _moment_or_null(key.revoked_at),
        "last_used_at": _moment_or_null(key.last_used_at),
    }
