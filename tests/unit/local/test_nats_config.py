"""The two accounts of the bus, and that nothing crosses between them but what the contract lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gridloom_contract.permissions import BORDER, SERVICES_ACCOUNT, WORKERS_ACCOUNT
from gridloom_local.nats_config import STATIC_USERS, NatsSettings, render


@pytest.fixture
def accounts() -> dict[str, Any]:
    settings = NatsSettings(port=4222, store=Path("store"))
    accounts: dict[str, Any] = render(settings, dict.fromkeys(STATIC_USERS, "password"), "issuer")["accounts"]
    return accounts


def crossing(rows: list[dict[str, Any]], kind: str) -> list[str]:
    """Return the subjects of one kind among exports or imports."""
    found = [row[kind] for row in rows if kind in row]
    return [each["subject"] if isinstance(each, dict) else each for each in found]


def test_workers_have_neither_jetstream_nor_anybody_with_a_password_among_them(accounts: dict[str, Any]) -> None:
    assert accounts[WORKERS_ACCOUNT].keys() == {"exports", "imports"}
    assert [name for name, account in accounts.items() if "jetstream" in account] == [SERVICES_ACCOUNT]


def test_each_side_takes_what_the_border_lists(accounts: dict[str, Any]) -> None:
    workers, services = accounts[WORKERS_ACCOUNT], accounts[SERVICES_ACCOUNT]
    assert crossing(workers["imports"], "service") == list(BORDER.acknowledgements)
    assert crossing(workers["imports"], "stream") == list(BORDER.heard_by_workers)
    assert crossing(services["imports"], "stream") == list(BORDER.said_by_workers)
    assert crossing(services["imports"], "service") == []


def test_each_side_gives_to_the_other_and_to_nobody_else(accounts: dict[str, Any]) -> None:
    for giver, taker in ((WORKERS_ACCOUNT, SERVICES_ACCOUNT), (SERVICES_ACCOUNT, WORKERS_ACCOUNT)):
        assert all(row["accounts"] == [taker] for row in accounts[giver]["exports"])


def test_there_is_one_service_alone_so_no_answer_can_be_led_on_into_another(accounts: dict[str, Any]) -> None:
    exports = [account.get("exports", []) for account in accounts.values()]
    assert [subject for rows in exports for subject in crossing(rows, "service")] == [BORDER.service]
