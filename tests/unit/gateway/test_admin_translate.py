"""The operator's API: what cannot be an id is not found, and secrets are shown in one place only."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from gridloom_contract.fault import FaultCode, FaultError
from gridloom_contract.fleet import WorkerEntry
from gridloom_contract.work import Offer
from gridloom_gateway.accounts import IssuedKey
from gridloom_gateway.dialects.admin import translate, wire
from gridloom_gateway.people import SCOPES, ApiKey, Page

NOON = datetime(2026, 6, 20, 12, 0, tzinfo=UTC)
KEY = ApiKey("kid00001", "a" * 32, b"\x01" * 32, "mine", SCOPES, NOON)


def test_every_fault_has_a_status() -> None:
    assert set(translate.HTTP) == set(FaultCode)


@pytest.mark.parametrize(
    "worker", ["", "w", "wABCDEFGHIJKL", "w.>", "wabcdefghijk*", "wabcdefghijklm", "wabcdefghijk\n"]
)
def test_what_cannot_be_a_worker_is_not_found(worker: str) -> None:
    with pytest.raises(FaultError) as raised:
        translate.to_worker(worker)

    assert raised.value.fault.code is FaultCode.NOT_FOUND


def test_a_listed_key_gives_nothing_away() -> None:
    shown = msgspec.to_builtins(translate.from_key(KEY))

    assert set(shown) == {
        *("kid", "account", "name", "scopes", "created_at", "expires_at", "revoked_at", "last_used_at"),
    }


def test_a_new_key_is_shown_with_its_text() -> None:
    assert translate.from_issued(IssuedKey(KEY, "glm_text")).key == "glm_text"


def test_a_key_may_do_everything_unless_told_otherwise() -> None:
    assert translate.to_key_wish(wire.IssueKey()).scopes == SCOPES
    assert translate.to_key_wish(wire.IssueKey(scopes=["jobs:read"])).scopes == ("jobs:read",)


def test_a_worker_is_shown_with_its_offers() -> None:
    entry = WorkerEntry(
        worker="w1", name="one", state="online", offers=(Offer(model="m:1", family="m"),), last_seen_at=NOON
    )
    shown = msgspec.to_builtins(translate.from_worker(entry))

    assert (shown["worker"], shown["state"], shown["last_seen_at"]) == ("w1", "online", "2026-06-20T12:00:00.000Z")
    assert shown["offers"][0]["model"] == "m:1"


def test_a_page_has_its_envelope() -> None:
    page = translate.from_page(Page((KEY,), 2, 10, 11), "keys", wire.Keys, translate.from_key)

    assert (page.page, page.per_page, page.total, page.total_pages, page.keys[0].kid) == (2, 10, 11, 2, "kid00001")
