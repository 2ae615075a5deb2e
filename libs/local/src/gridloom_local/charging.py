"""What a job is charged: its line in the ledger, waited for and told to the person at the terminal."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from gridloom_local.client import Client
from gridloom_local.problems import REFUSED, Problem
from gridloom_local.usage_report import print_line

_PATIENCE_SECONDS: Final = 15.0
_PAUSES_SECONDS: Final = (0.02, 0.05, 0.1, 0.2, 0.5)


async def tell_usage(client: Client, job: str) -> None:
    """Print what an ended job took, as soon as it is counted: usually it is already. Raises Problem if it never is."""
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            line = await _counted(client, job)
    except TimeoutError:
        raise Problem(f"job {job} was not counted within {_PATIENCE_SECONDS:g} s", remedy="gridloom status") from None
    print_line(line)


async def _counted(client: Client, job: str) -> dict[str, Any]:
    pauses = iter(_PAUSES_SECONDS)
    while True:
        try:
            line: dict[str, Any] = await client.call("GET", f"/api/v1/jobs/{job}/usage")
        except Problem as problem:
            if problem.exit_code != REFUSED:
                raise
            await asyncio.sleep(next(pauses, _PAUSES_SECONDS[-1]))
        else:
            return line
