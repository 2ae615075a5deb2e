"""What tests of webhooks share: a grid that calls receivers on this machine, and what is checked of each request."""

from __future__ import annotations

import asyncio
import hmac
from typing import Any

from standardwebhooks.webhooks import Webhook

from gridloom_contract.registry import GATEWAY, QUOTA, SCHEDULER, WEBHOOK, WORKER
from gridloom_testing.clients import JOBS, ApiClient
from gridloom_testing.grid import Grid
from integration.webhook.receivers import Request

DELIVERIES = "/api/v1/webhooks/deliveries"
HURRIED = {"allow_private": True, "schedule_seconds": (0, 0.2, 0.2, 60), "sweep_seconds": 0.5, "lease_seconds": 17.0}
"""Settings of a webhook service that tries again soon."""
_POLL_SECONDS = 0.05


def start_hooked(grid: Grid, **webhook_settings: object) -> None:
    """Start a grid that delivers to this machine; return once its worker serves."""
    grid.start(SCHEDULER)
    grid.start(QUOTA)
    grid.start(WEBHOOK, **(HURRIED | webhook_settings))
    grid.start(GATEWAY, webhook_allow_private=True)
    grid.wait_until_ready()
    grid.start(WORKER, grid.enrol())
    grid.wait_until_ready()


def second_key(grid: Grid, client: ApiClient) -> str:
    """Return another key of the client's account."""
    kid = client.key.split("_")[1]
    for account in grid.ask("GET", "/admin/v1/accounts?per_page=500")["accounts"]:
        path = f"/admin/v1/accounts/{account['id']}/keys"
        if kid in str(grid.ask("GET", path)):
            return str(grid.ask("POST", path, {})["key"])
    raise AssertionError("the client has no account")


async def bytes_of(client: ApiClient, job: str) -> bytes:
    """Return exactly what GET answers."""
    async with client.session.get(f"{JOBS}/{job}") as answer:
        assert answer.status == 200
        return await answer.read()


async def secret_of(client: ApiClient) -> str:
    """Return the account's signing secret."""
    return str((await client.call("GET", "/api/v1/webhooks/secret")).body["key"])


async def assert_authentic(request: Request, client: ApiClient, key: str | None = None) -> None:
    """Check both signatures as a receiver does: the account's secret, and the key that submitted the job."""
    assert Webhook(await secret_of(client)).verify(request.body, request.headers)
    expected = hmac.new((key or client.key).encode(), request.body, "sha256").hexdigest()
    assert request.headers["x-vibe-signature"] == f"sha256={expected}"


async def delivery_of(client: ApiClient, job: str, *states: str, within_seconds: float = 30.0) -> dict[str, Any]:
    """Return the job's newest delivery once it is in one of these states."""
    async with asyncio.timeout(within_seconds):
        while True:
            found = (await client.call("GET", f"{DELIVERIES}?job_id={job}")).body["deliveries"]
            if found and found[0]["state"] in states:
                return dict(found[0])
            await asyncio.sleep(_POLL_SECONDS)
