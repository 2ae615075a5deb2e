"""What the scheduler puts into its outbox: the facts of jobs, and the orders for workers."""

from __future__ import annotations

from gridloom_contract.events import JobEvent, JobFinished
from gridloom_contract.registry import fact_subject
from gridloom_contract.work import WorkOrder
from gridloom_kit.jetstream import Outgoing
from gridloom_kit.outbox import Fact


def fact_message(fact: JobEvent) -> Fact:
    """Return a fact as it is published: the same one always under the same id."""
    outgoing = Outgoing(subject=fact_subject(fact), message=fact, message_id=f"{fact.job}:{fact.seq}")
    return Fact(fact.job, fact.seq, outgoing, is_last=isinstance(fact, JobFinished))


def order_message(subject: str, order: WorkOrder) -> Outgoing:
    """Return an order as it is published: one attempt is delivered once."""
    return Outgoing(subject=subject, message=order, message_id=f"{order.job}:{order.attempt}")
