"""What a job's webhook brought, told to the person at the terminal."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec

from gridloom_local.client import Client
from gridloom_local.problems import Problem
from gridloom_local.receiver import Received, Receiver, problems_with
from gridloom_local.tables import print_table, seconds

_PATIENCE_SECONDS: Final = 15.0


async def tell_webhook(client: Client, receiver: Receiver, job: str, api_key: str) -> None:
    """Wait for the job's webhook, check it as its receiver should, and print it. Raises Problem if it is not right."""
    try:
        received = await receiver.next(_PATIENCE_SECONDS)
    except TimeoutError:
        raise Problem(f"no webhook came within {_PATIENCE_SECONDS:g} s", remedy="gridloom webhooks list") from None
    document = await client.call("GET", f"/api/v1/jobs/{job}")
    secret = (await client.call("GET", "/api/v1/webhooks/secret"))["key"]
    problems = problems_with(received, secret, api_key)
    if msgspec.json.decode(received.body) != document:
        problems.append("its body is not what GET answers")
    if problems:
        raise Problem(f"the webhook is not to be believed: {'; '.join(problems)}")
    print_table(("webhook", ""), webhook_rows(received, receiver.url, document), title="What the job's webhook brought")


def webhook_rows(received: Received, url: str, document: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what is worth knowing of an authentic webhook, a row each."""
    ended = datetime.fromisoformat(document["completed_at"])
    return [
        ("request", f"{received.method} {url}, attempt {received.headers['x-gridloom-delivery-attempt']}"),
        ("after the job's end", seconds((received.at - ended).total_seconds())),
        ("webhook-id", received.headers["webhook-id"]),
        ("webhook-signature", "verified with the account's secret (Standard Webhooks)"),
        ("X-Vibe-Signature", "verified with the API key that submitted the job"),
        ("body", f"{len(received.body)} bytes, the job as GET answers it"),
    ]
