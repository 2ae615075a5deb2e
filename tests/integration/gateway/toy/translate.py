"""Between the toy API's words and the core's."""

from __future__ import annotations

from gridloom_contract.fault import FaultCode
from gridloom_contract.jobs import Job, Submission, Task
from gridloom_contract.vocabulary import Kind, State
from gridloom_contract.webhooks import WebhookOrder
from gridloom_domain import ids
from gridloom_gateway.desk import no_such_job
from gridloom_gateway.people import Caller
from integration.gateway.toy import wire

DIALECT = "toy"
STATUS = dict.fromkeys(State, "thinking") | {State.SUCCEEDED: "glad", State.FAILED: "sad", State.CANCELED: "sad"}
HTTP = dict.fromkeys(FaultCode, 418) | {FaultCode.UNAUTHENTICATED: 401, FaultCode.RATE_LIMITED: 429}


def to_job_id(text: str) -> str:
    """Return the core's id: the toy spells it backwards."""
    try:
        return ids.from_hex(text[::-1])
    except ValueError:
        raise no_such_job() from None


def to_submission(body: wire.Ask, caller: Caller, job: str, webhook: WebhookOrder | None) -> Submission:
    """Return what the core takes in."""
    return Submission(
        job=job,
        account=caller.account,
        key=caller.kid,
        dialect=DIALECT,
        model=body.whom,
        task=Task(kind=Kind.CHAT, prompt=body.what),
        webhook=webhook,
    )


def from_job(job: Job) -> wire.Answer:
    """Return the job as its owner sees it."""
    return wire.Answer(toy=job.job[::-1], mood=STATUS[job.state], said=job.output)
