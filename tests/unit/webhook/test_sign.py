"""The signatures are those that the references make and accept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook

from gridloom_kit.clock import SystemClock
from gridloom_webhook.sign import (
    TOLERANCE_SECONDS,
    new_secret,
    problems_with,
    standard_signature,
    vibe_signature,
)

NOW = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
BODY = '{"job_id":"1","output":"Grüße"}'.encode()
SECRET, OTHER = new_secret(bytes(range(24))), new_secret(b"\xff" * 24)
API_KEY = "glm_not_real"


def headers_at(moment: datetime, *secrets: str) -> dict[str, str]:
    timestamp = int(moment.timestamp())
    return {
        "webhook-id": "evt_1_4",
        "webhook-timestamp": str(timestamp),
        "webhook-signature": standard_signature("evt_1_4", timestamp, BODY, secrets or (SECRET,)),
        "X-Vibe-Signature": vibe_signature(BODY, API_KEY),
    }


def problems(headers: dict[str, str], body: bytes = BODY, key: str | None = API_KEY, now: datetime = NOW) -> list[str]:
    return problems_with(body, headers, [SECRET], key, now)


def test_a_secret_has_exactly_one_underscore_and_24_bytes() -> None:
    assert SECRET == "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
    assert OTHER.count("_") == 1
    assert len(OTHER) == len("whsec_") + 32


def test_a_secret_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="24 random bytes"):
        new_secret(b"short")


def test_the_vibe_signature_is_the_hexadecimal_hmac_of_the_body() -> None:
    expected = "sha256=f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"
    assert vibe_signature(b"The quick brown fox jumps over the lazy dog", "key") == expected


def test_the_reference_makes_the_same_signature() -> None:
    made = standard_signature("evt_1_4", int(NOW.timestamp()), BODY, [SECRET])
    assert made == Webhook(SECRET).sign("evt_1_4", NOW, BODY.decode())


@pytest.mark.parametrize("secret", [SECRET, OTHER])
def test_while_a_secret_is_replaced_both_pass_the_reference(secret: str) -> None:
    headers = headers_at(SystemClock().now(), OTHER, SECRET)
    assert Webhook(secret).verify(BODY, headers)


def test_an_authentic_request_has_no_problems() -> None:
    assert problems(headers_at(NOW)) == []
    assert problems({name.upper(): value for name, value in headers_at(NOW).items()}) == []
    assert problems(headers_at(NOW, OTHER, SECRET)) == []


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"webhook-id": ""}, "webhook-id is missing"),
        ({"webhook-signature": ""}, "webhook-signature is missing"),
        ({"webhook-timestamp": "soon"}, "not a number"),
        ({"webhook-id": "evt_1_5"}, "not made with this account's secret"),
        ({"webhook-signature": "v1,AAAA"}, "not made with this account's secret"),
        ({"webhook-signature": "v2,ü"}, "not made with this account's secret"),
        ({"X-Vibe-Signature": "sha256=00"}, "not made with this API key"),
    ],
)
def test_each_problem_is_named(changes: dict[str, str], word: str) -> None:
    found = problems(headers_at(NOW) | changes)
    assert len(found) == 1
    assert word in found[0]


def test_another_body_passes_neither() -> None:
    assert len(problems(headers_at(NOW), body=b"{}")) == 2


@pytest.mark.parametrize("age", [-TOLERANCE_SECONDS - 2, TOLERANCE_SECONDS + 2])
def test_an_old_or_future_timestamp_is_a_problem(age: int) -> None:
    found = problems(headers_at(NOW), now=NOW + timedelta(seconds=age))
    assert ["old" in found[0], "ahead" in found[0]] == [age > 0, age < 0]


def test_without_an_api_key_its_signature_is_not_judged() -> None:
    assert problems(headers_at(NOW) | {"X-Vibe-Signature": "sha256=00"}, key=None) == []
