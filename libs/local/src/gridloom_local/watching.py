"""Following one job: its text as it comes, and how it ended."""

from __future__ import annotations

from typing import Any

import msgspec

from gridloom_local.client import Client
from gridloom_local.problems import JOB_NOT_SUCCEEDED, Problem
from gridloom_local.voice import Voice


async def follow_job(client: Client, job: str, voice: Voice) -> dict[str, Any]:
    """Write the job's text piece by piece, say what befalls it, and return the ended job. Raises Problem."""
    async for event in client.follow(job):
        content = msgspec.json.decode(event.data)
        if event.name == "token":
            voice.write(content["text"])
        elif event.name == "reset":
            voice.say("\n[the worker was lost; the answer starts anew]")
        elif event.name == "done":
            return dict(content)
    raise Problem(f"the stream of job {job} ended before the job", remedy=f"gridloom jobs show {job}")


def require_success(job: dict[str, Any]) -> None:
    """Raise Problem unless the job was completed."""
    if job["status"] != "completed":
        raise Problem(
            f"job {job['job_id']} ended as {job['status']}: {job.get('error') or 'no reason given'}",
            remedy=f"see what happened with `gridloom jobs timeline {job['job_id']}`",
            exit_code=JOB_NOT_SUCCEEDED,
        )
