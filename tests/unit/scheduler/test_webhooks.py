"""What the facts of a job say about its webhook: where it goes, that there is one, and which key signs it."""

from __future__ import annotations

import msgspec
import pytest

from gridloom_contract.events import JobAccepted, JobFinished, JobRetried, JobStarted
from gridloom_contract.fault import Fault, FaultCode
from gridloom_contract.jobs import RetryJob
from gridloom_contract.vocabulary import State
from gridloom_contract.webhooks import WebhookOrder
from gridloom_scheduler.rules import orders, transitions
from gridloom_scheduler.rules.changes import Change
from gridloom_scheduler.rules.submission import draft_of
from gridloom_scheduler.rules.transitions import Answer
from gridloom_testing.builders import a_submission
from unit.scheduler.records import a_claimed_record, a_moment, a_record, a_running_record

ORDER = WebhookOrder(url="https://example.org/hook", sealed_key="sealed")
FAULT = Fault(code=FaultCode.UPSTREAM, message="out of memory")

ENDINGS: dict[str, Change] = {
    "succeeded": transitions.succeeded(a_claimed_record(has_webhook=True), Answer("Hello!"), a_moment()),
    "failed": transitions.failed(a_running_record(has_webhook=True), FAULT, a_moment()),
    "canceled": transitions.canceled(a_record(has_webhook=True), "user", a_moment()),
}


def test_an_acceptance_says_where_the_events_go() -> None:
    draft = draft_of(a_submission(webhook=ORDER), "llama", a_moment())

    [accepted] = draft.events
    assert isinstance(accepted, JobAccepted)
    assert (accepted.webhook, draft.has_webhook) == (ORDER, True)


def test_a_job_without_a_webhook_says_nothing_of_one() -> None:
    draft = draft_of(a_submission(), "llama", a_moment())
    ended = transitions.canceled(draft, "user", a_moment())

    assert b"webhook" not in msgspec.json.encode((draft, ended.facts))


@pytest.mark.parametrize("change", ENDINGS.values(), ids=ENDINGS.keys())
def test_starts_and_endings_say_that_there_is_a_webhook(change: Change) -> None:
    spoken = [fact.has_webhook for fact in change.facts if isinstance(fact, JobStarted | JobFinished)]

    assert spoken
    assert all(spoken)


def test_a_retry_passes_on_the_key_that_asked_for_it() -> None:
    order = RetryJob(job="j", account="acc1", sealed_key="sealed anew")

    [fact] = orders.retry(a_record(state=State.FAILED, has_webhook=True), order, 1.0, a_moment()).facts

    assert isinstance(fact, JobRetried)
    assert (fact.sealed_key, fact.has_webhook) == ("sealed anew", True)


def test_a_key_that_would_sign_nothing_is_not_kept() -> None:
    order = RetryJob(job="j", account="acc1", sealed_key="sealed anew")

    [fact] = orders.retry(a_record(state=State.FAILED), order, 1.0, a_moment()).facts

    assert isinstance(fact, JobRetried)
    assert (fact.sealed_key, fact.has_webhook) == (None, False)
