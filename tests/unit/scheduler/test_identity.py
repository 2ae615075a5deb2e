"""Tokens of workers, and the answers of the auth callout."""

from __future__ import annotations

import base64
from datetime import datetime

import msgspec
import nkeys
import pytest

from gridloom_contract.permissions import of_worker
from gridloom_scheduler.access import Tokens
from gridloom_scheduler.callout import Signer, question_of
from unit.scheduler.records import NOW

SEED = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_ACCOUNT).decode()


class Noon:
    """A clock that stands."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


def tokens(pepper: str = "pepper") -> Tokens:
    """Tokens made of known bytes."""
    return Tokens(pepper, lambda size: bytes(range(size)))


def test_a_token_names_its_worker_and_is_verified_under_the_pepper() -> None:
    worker, token = tokens().make()

    assert tokens().worker_of(token) == worker
    assert len(worker) == 13
    assert tokens().verifier(token) == tokens().verifier(token)
    assert tokens().verifier(token) != tokens("other").verifier(token)
    assert tokens().verifier(token) != tokens().verifier(token + "x")


@pytest.mark.parametrize(
    "text", ["", "glw_", "glw_w_x", "glm_waaaaaaaaaaaa_" + "a" * 52, "glw_waaaaaaaaaaaa.*_x", "x" * 9999]
)
def test_what_is_no_token_names_nobody(text: str) -> None:
    assert tokens().worker_of(text) is None


def test_a_jwt_is_signed_and_expires() -> None:
    signer = Signer(SEED, Noon())

    header, body, signature = signer.sign({"sub": "U", "nats": {}}, 60).split(".")

    assert nkeys.from_seed(SEED.encode()).verify(f"{header}.{body}".encode(), decoded(signature))
    claims = msgspec.json.decode(decoded(body))
    assert claims["iss"] == signer.issuer
    assert claims["exp"] - claims["iat"] == 60


@pytest.mark.parametrize("data", [b"", b"a.b", b"!.!.!", b"a.e30.c", b"\xff.\xff.\xff"])
def test_what_is_no_question_is_refused(data: bytes) -> None:
    with pytest.raises((ValueError, msgspec.DecodeError)):
        question_of(data)


def test_a_workers_rights_name_only_itself() -> None:
    rights = of_worker("waaaaaaaaaaaa")

    assert all("waaaaaaaaaaaa" in subject for subject in (*rights.publish, *rights.subscribe))


def decoded(part: str) -> bytes:
    """Return the bytes of one part of a JWT."""
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
