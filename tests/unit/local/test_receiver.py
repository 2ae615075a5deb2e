"""The demo's receiver believes what is signed by both schemes, and nothing else."""

from __future__ import annotations

import hmac
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook

from gridloom_local.postscript import webhook_rows
from gridloom_local.receiver import Received, problems_with

NOW = datetime(2026, 6, 20, 12, tzinfo=UTC)
SECRET = "whsec_" + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
KEY = "glm_abcd_secret"
BODY = '{"job_id":"j","output":"Grüße"}'.encode()


def a_request(secret: str = SECRET, key: str = KEY, **changes: object) -> Received:
    headers = {
        "webhook-id": "evt_j_4",
        "webhook-timestamp": str(int(NOW.timestamp())),
        "webhook-signature": Webhook(secret).sign("evt_j_4", NOW, BODY.decode()),
        "x-vibe-signature": "sha256=" + hmac.new(key.encode(), BODY, "sha256").hexdigest(),
        "x-gridloom-delivery-attempt": "1",
    }
    return replace(Received("POST", headers, BODY, NOW), **changes)


def words_of(received: Received) -> list[str]:
    return [problem.split()[0] for problem in problems_with(received, SECRET, KEY)]


def test_a_request_signed_by_both_schemes_is_believed() -> None:
    assert problems_with(a_request(), SECRET, KEY) == []


def test_one_of_several_signatures_is_enough() -> None:
    request = a_request()
    several = {"webhook-signature": "v1,bm9uZQ== " + request.headers["webhook-signature"]}

    assert words_of(replace(request, headers={**request.headers, **several})) == []


@pytest.mark.parametrize(
    ("received", "doubted"),
    [
        (a_request(secret="whsec_" + "A" * 32), ["webhook-signature"]),
        (a_request(key="glm_abcd_other"), ["X-Vibe-Signature"]),
        (a_request(body=BODY + b" "), ["webhook-signature", "X-Vibe-Signature"]),
        (a_request(at=NOW + timedelta(seconds=301)), ["webhook-timestamp"]),
        (a_request(at=NOW - timedelta(seconds=301)), ["webhook-timestamp"]),
        (a_request(headers={}), ["webhook-timestamp", "webhook-signature", "X-Vibe-Signature"]),
        (
            a_request(headers={"webhook-timestamp": "now", "webhook-signature": "", "x-vibe-signature": "ä"}),
            ["webhook-timestamp", "webhook-signature", "X-Vibe-Signature"],
        ),
    ],
    ids=["another secret", "another key", "another body", "too old", "too new", "unsigned", "nonsense"],
)
def test_what_is_wrong_is_named(received: Received, doubted: list[str]) -> None:
    assert words_of(received) == doubted


def test_the_rows_say_how_long_after_the_end_it_came() -> None:
    rows = dict(webhook_rows(a_request(), "http://127.0.0.1:1/hook", {"completed_at": "2026-06-20T11:59:59.750Z"}))

    assert rows["after the job's end"] == "0.25 s"
    assert rows["request"] == "POST http://127.0.0.1:1/hook, attempt 1"
