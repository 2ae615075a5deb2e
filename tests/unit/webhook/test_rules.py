"""When a delivery is tried again, and when it is given up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gridloom_contract.webhooks import DeliveryState
from gridloom_webhook.record import Trouble, endpoint_of, event_id, lane_of
from gridloom_webhook.rules import (
    Answer,
    after_failure,
    class_of,
    hold_seconds,
    judge,
    pause_before,
    retry_after,
)
from gridloom_webhook.settings import Settings

NOW = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
SCHEDULE = Settings(mongo_url="", master_key="").schedule_seconds
FIVE_DAYS = 432_000.0
MIDDLE = 0.5


def answer(status: int, **more: float) -> Answer:
    return Answer(class_of(status), status=status, **more)


def trouble(since: datetime, last: datetime, disabled: datetime | None = None) -> Trouble:
    return Trouble("acc1 https://example.org/x", "acc1", since, last, disabled)


def failed(before: Trouble | None, at: datetime, *, is_gone: bool = False) -> Trouble:
    return after_failure(before, trouble(at, at), is_gone=is_gone, disable_after_seconds=FIVE_DAYS)


def test_the_schedule_is_the_one_that_is_promised() -> None:
    minute, hour = 60, 3600
    promised = (0, 5, 30, 5 * minute, 30 * minute, 2 * hour, 5 * hour, 10 * hour, 14 * hour, 20 * hour, 24 * hour)
    assert promised == SCHEDULE


@pytest.mark.parametrize(("chance", "share"), [(0.0, 0.8), (0.5, 1.0), (1.0, 1.2)])
def test_pauses_vary_by_a_fifth(chance: float, share: float) -> None:
    assert [pause_before(n, SCHEDULE, chance) for n in range(11)] == pytest.approx([one * share for one in SCHEDULE])


def test_after_the_last_attempt_there_is_no_pause() -> None:
    assert pause_before(len(SCHEDULE), SCHEDULE, MIDDLE) is None


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_2xx_is_delivered(status: int) -> None:
    assert judge(answer(status), 1, SCHEDULE, MIDDLE).state is DeliveryState.DELIVERED


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 429, 500, 503])
def test_everything_else_is_tried_again_redirects_too(status: int) -> None:
    verdict = judge(answer(status), 1, SCHEDULE, MIDDLE)
    assert (verdict.state, verdict.after_seconds) == (DeliveryState.PENDING, 5)


@pytest.mark.parametrize("result", ["timeout", "dns", "tls", "connection", "blocked"])
def test_so_is_what_never_arrived(result: str) -> None:
    assert judge(Answer(result), 2, SCHEDULE, MIDDLE).after_seconds == 30


def test_after_the_schedule_it_is_dead() -> None:
    assert judge(answer(500), len(SCHEDULE) - 1, SCHEDULE, MIDDLE).after_seconds == 86_400
    assert judge(answer(500), len(SCHEDULE), SCHEDULE, MIDDLE).state is DeliveryState.DEAD


def test_410_is_dead_at_once() -> None:
    assert judge(answer(410), 1, SCHEDULE, MIDDLE).state is DeliveryState.DEAD


@pytest.mark.parametrize(("asked", "pause"), [(1.0, 5.0), (60.0, 60.0), (1e9, 86_400.0)])
def test_retry_after_lengthens_a_pause_within_a_day_and_never_shortens_it(asked: float, pause: float) -> None:
    assert judge(answer(503, retry_after_seconds=asked), 1, SCHEDULE, MIDDLE).after_seconds == pause


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("99999999999999999999", 86_400.0),
        ("Thu, 15 Jan 2026 09:31:00 GMT", 60.0),
        ("Thu, 15 Jan 2026 09:31:00", 60.0),
        ("Thu, 15 Jan 2026 09:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read_in_both_its_forms(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, NOW) == seconds


@pytest.mark.parametrize(("status", "held"), [(429, 9.0), (502, 9.0), (503, 9.0), (504, 9.0), (500, 0.0), (404, 0.0)])
def test_only_a_busy_receiver_holds_the_whole_endpoint(status: int, held: float) -> None:
    assert hold_seconds(answer(status, retry_after_seconds=9.0)) == held


def test_a_run_of_failures_begins_with_the_first() -> None:
    first = failed(None, NOW)
    later = failed(first, NOW + timedelta(hours=24))
    assert (first.failing_since, later.failing_since, later.disabled_at) == (NOW, NOW, None)


def test_five_days_of_failures_disable_an_endpoint() -> None:
    found = None
    for hours in range(0, 120, 20):
        found = failed(found, NOW + timedelta(hours=hours))
        assert found.disabled_at is None
    at = NOW + timedelta(hours=120)
    assert failed(found, at).disabled_at == at


def test_two_failures_far_apart_are_no_run() -> None:
    at = NOW + timedelta(days=6)
    assert failed(failed(None, NOW), at) == trouble(at, at)


def test_gone_disables_at_once() -> None:
    found = failed(None, NOW, is_gone=True)
    assert (found.disabled_at, found.why) == (NOW, "the receiver answered 410 Gone")


def test_what_is_disabled_stays_as_it_was() -> None:
    disabled = trouble(NOW, NOW, NOW)
    assert failed(disabled, NOW + timedelta(days=9), is_gone=True) == disabled


def test_a_status_outside_http_is_a_broken_connection() -> None:
    assert [class_of(status) for status in (200, 301, 404, 503, 101, 600, 999)] == [
        *("2xx", "3xx", "4xx", "5xx"),
        *("connection", "connection", "connection"),
    ]


def test_an_event_is_named_by_job_and_fact() -> None:
    assert event_id("abc", 4) == "evt_abc_4"


def test_a_lane_is_account_and_origin_an_endpoint_also_the_path() -> None:
    url = "https://Example.org:8443/hooks/7?token=x"
    assert lane_of("acc1", url) == "acc1 https://example.org:8443"
    assert endpoint_of("acc1", url) == "acc1 https://example.org:8443/hooks/7"
    assert endpoint_of("acc1", "https://example.org") == "acc1 https://example.org/"
