"""The two signatures of a webhook, and what a receiver checks. Pure: secrets and times are arguments.

`X-Vibe-Signature` is keyed with the API key that submitted the job and covers the body alone, so it does not age
(seeds/000 §Webhooks). The three Standard Webhooks headers are keyed with the account's secret and cover id, time and
body (Standard Webhooks 1.0.0); while a secret is being replaced there is one signature for each.
"""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from datetime import datetime

SECRET_PREFIX = "whsec_"  # noqa: S105 - what precedes one
SECRET_BYTES = 24
VIBE = "X-Vibe-Signature"
ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
TOLERANCE_SECONDS = 300
"""How far the clock of a signature may be from the reader's, as in the reference implementations."""

_VERSION = "v1,"


def new_secret(randomness: bytes) -> str:
    """Return `whsec_` and standard base64 of 24 random bytes: exactly one underscore, as clients split on it."""
    if len(randomness) != SECRET_BYTES:
        raise ValueError(f"a secret takes {SECRET_BYTES} random bytes, not {len(randomness)}")
    return SECRET_PREFIX + b64encode(randomness).decode()


def vibe_signature(body: bytes, api_key: str) -> str:
    """Return the value of `X-Vibe-Signature`: `sha256=` and the hexadecimal HMAC of the body."""
    return "sha256=" + hmac.new(api_key.encode(), body, "sha256").hexdigest()


def standard_signature(message_id: str, timestamp: int, body: bytes, secrets: Iterable[str]) -> str:
    """Return the value of `webhook-signature`: one `v1,<base64>` for each secret, with a space between."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return " ".join(_VERSION + b64encode(hmac.digest(_raw(secret), signed, "sha256")).decode() for secret in secrets)


def problems_with(
    body: bytes, headers: Mapping[str, str], secrets: Iterable[str], api_key: str | None, now: datetime
) -> list[str]:
    """Return a sentence for each reason why a receiver would turn this request away; none means it is authentic.

    `X-Vibe-Signature` is checked where it is present and an API key is at hand.
    """
    named = {name.lower(): value for name, value in headers.items()}
    missing = [f"the header {name} is missing" for name in (ID, TIMESTAMP, SIGNATURE) if not named.get(name)]
    found = missing or _standard_problems(body, named, secrets, now)
    return found + _vibe_problems(body, named.get(VIBE.lower()), api_key)


def _standard_problems(body: bytes, headers: Mapping[str, str], secrets: Iterable[str], now: datetime) -> list[str]:
    try:
        timestamp = int(headers[TIMESTAMP])
    except ValueError:
        return [f"{TIMESTAMP} is not a number of seconds: {headers[TIMESTAMP][:40]!r}"]
    found = []
    age = now.timestamp() - timestamp
    if abs(age) > TOLERANCE_SECONDS:
        found.append(f"{TIMESTAMP} is {abs(age):.0f} s {'old' if age > 0 else 'ahead'}, at most {TOLERANCE_SECONDS} s")
    expected = standard_signature(headers[ID], timestamp, body, secrets).split()
    given = headers[SIGNATURE].split()
    if not any(_same(one, other) for one in expected for other in given):
        found.append(f"{SIGNATURE} was not made with this account's secret over this id, time and body")
    return found


def _vibe_problems(body: bytes, given: str | None, api_key: str | None) -> list[str]:
    if given is None or api_key is None or _same(vibe_signature(body, api_key), given):
        return []
    return [f"{VIBE} was not made with this API key over this body"]


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _raw(secret: str) -> bytes:
    try:
        return b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("a signing secret is standard base64") from error
