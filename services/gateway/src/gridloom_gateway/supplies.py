"""All that a dialect may be made of. A new one is given the same as the others."""

from __future__ import annotations

from dataclasses import dataclass

from gridloom_gateway.batches import Batches
from gridloom_gateway.blobs import Files
from gridloom_gateway.desk import Desk
from gridloom_gateway.library import Library
from gridloom_gateway.logs import Logs
from gridloom_gateway.reading import BodyReader
from gridloom_gateway.usage_desk import UsageDesk
from gridloom_gateway.webhooks import Deliveries, WebhookOrders
from gridloom_kit.clock import Clock


@dataclass(frozen=True)
class Terms:
    """What the operator decides about dialects: the settings that they are told.

    A reader of a stream may take nothing for `stall_seconds`. A job of a dialect that fails jobs nobody serves waits
    `capacity_wait_seconds`. `remotejobs_words` are the words for states that differ from the usual ones: `state=word`.
    Whoever uploads a file sends something within `body_seconds`.
    """

    stall_seconds: float = 30.0
    capacity_wait_seconds: float = 60.0
    remotejobs_words: tuple[str, ...] = ()
    body_seconds: float = 60.0


@dataclass(frozen=True)
class Supplies:
    """What dialects are opened with."""

    desk: Desk
    logs: Logs
    bodies: BodyReader
    webhooks: WebhookOrders
    deliveries: Deliveries
    files: Files
    usage: UsageDesk
    batches: Batches
    library: Library
    clock: Clock
    terms: Terms
