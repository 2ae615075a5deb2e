"""Records as documents, and back."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

import msgspec

from gridloom_contract.webhooks import Attempt, DeliveryState
from gridloom_contract.webhooks import Delivery as ShownDelivery
from gridloom_kit.mongo import Document
from gridloom_webhook.record import Delivery, Subscription, Trouble

R = TypeVar("R", Subscription, Delivery, Trouble)


def subscription_document(subscription: Subscription) -> Document:
    """Return a new subscription as it is stored, without its `_id`. What is None is left out."""
    return _written(subscription, "job")


def delivery_document(delivery: Delivery) -> Document:
    """Return a new delivery as it is stored."""
    document = _written(delivery, "id") | {"_id": delivery.id, "state": str(delivery.state), "attempts": []}
    return document | {"lane": delivery.lane, "endpoint": delivery.endpoint, "size_bytes": len(delivery.body)}


def subscription_of(document: Document) -> Subscription:
    """Return a stored subscription."""
    return _read(Subscription, document | {"job": document["_id"], "events": tuple(document["events"])}, _NO_KEY)


def delivery_of(document: Document) -> Delivery:
    """Return a stored delivery."""
    found = document | {"id": document["_id"], "state": DeliveryState(document["state"])}
    return _read(Delivery, found, {"body": b"", "next_at": None})


def trouble_of(document: Document) -> Trouble:
    """Return a stored endpoint."""
    return _read(Trouble, document | {"endpoint": document["_id"]}, {})


def shown(document: Document) -> ShownDelivery:
    """Return a delivery as its account may see it."""
    is_pending = document["state"] == str(DeliveryState.PENDING)
    return ShownDelivery(
        delivery=document["_id"],
        job=document["job"],
        event=document["event"],
        url=document["url"],
        state=DeliveryState(document["state"]),
        created_at=document["created_at"],
        attempts=tuple(msgspec.convert(attempt, Attempt) for attempt in document["attempts"]),
        next_attempt_at=document.get("next_at") if is_pending else None,
        delivered_at=document.get("delivered_at"),
    )


_NO_KEY: Document = {"sealed_key": None, "kid": None}


def _written(record: Subscription | Delivery, name_of_id: str) -> Document:
    values: dict[str, Any] = {field.name: getattr(record, field.name) for field in fields(record)}
    return {name: value for name, value in values.items() if value is not None and name != name_of_id}


def _read(record: type[R], document: Document, defaults: Document) -> R:
    known = {field.name for field in fields(record)}
    return record(**(defaults | {name: value for name, value in document.items() if name in known}))
