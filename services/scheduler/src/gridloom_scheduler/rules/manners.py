"""What a worker may say of itself. It is a stranger: sizes, names and numbers are checked before they are believed."""

from __future__ import annotations

import math

import msgspec

from gridloom_contract.vocabulary import Kind
from gridloom_contract.work import ModelSpeed, Offer, WorkerHeartbeat, WorkerHello
from gridloom_domain.errors import Invalid

MOST_SLOTS = 1024
_MOST_OFFERS = 500
_LONGEST_NAME = 200
_MOST_HOLDINGS = 10_000
_MOST_FEATURES = 50
_MOST_SPEED = 1e9
_MOST_CONTEXT = 1_000_000_000


def checked_hello(hello: WorkerHello) -> WorkerHello:
    """Return the hello if it can be believed. Raises `Invalid` naming what cannot."""
    if not 1 <= hello.slots <= MOST_SLOTS:
        raise Invalid(f"{hello.slots} slots are not between 1 and {MOST_SLOTS}", "slots")
    if len(hello.offers) > _MOST_OFFERS:
        raise Invalid(f"{len(hello.offers)} offers are more than {_MOST_OFFERS}", "offers")
    for offer in hello.offers:
        _check_offer(offer)
    for field in ("session", "version", "engine"):
        if len(getattr(hello, field)) > _LONGEST_NAME:
            raise Invalid(f"{field} is longer than {_LONGEST_NAME} characters", field)
    return hello


def believable(heartbeat: WorkerHeartbeat) -> WorkerHeartbeat:
    """Return the heartbeat with its lists bounded and its numbers sane: a bad one must not stop the good ones."""
    speeds = tuple(speed for speed in heartbeat.speeds[:_MOST_OFFERS] if _is_sane(speed))
    return msgspec.structs.replace(
        heartbeat,
        holding=heartbeat.holding[:_MOST_HOLDINGS],
        speeds=speeds,
        loaded=heartbeat.loaded[:_MOST_OFFERS],
    )


def _check_offer(offer: Offer) -> None:
    _check_name(offer.model, "model")
    _check_name(offer.family, "family")
    if len(offer.features) > _MOST_FEATURES or any(len(feature) > _LONGEST_NAME for feature in offer.features):
        raise Invalid(f"too many or too long features of {offer.model}", "features")
    if offer.kind is Kind.UNKNOWN:
        raise Invalid(f"the kind of {offer.model} is unknown to this version", "kind")
    if offer.context_tokens is not None and not 0 <= offer.context_tokens <= _MOST_CONTEXT:
        raise Invalid(f"a context of {offer.context_tokens} tokens cannot be", "context_tokens")


def _check_name(name: str, field: str) -> None:
    if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
        raise Invalid(f"{name[:_LONGEST_NAME]!r} is no name of a {field}", field)


def _is_sane(speed: ModelSpeed) -> bool:
    numbers = (speed.tokens_per_second, speed.job_seconds)
    return all(math.isfinite(number) and 0 <= number <= _MOST_SPEED for number in numbers)
