"""`gridloom jobs` and `gridloom models`: using the grid, with an account's API key."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from gridloom_local.cli.running import ask, home
from gridloom_local.client import Client
from gridloom_local.facts import setting
from gridloom_local.story import print_story
from gridloom_local.tables import print_fields, print_json, print_rows
from gridloom_local.uploading import submit_with_files
from gridloom_local.voice import Voice
from gridloom_local.watching import follow_job, require_success

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

_COLUMNS = {"job": "job_id", "status": "status", "model": "model", "tag": "tag", "priority": "priority"}


@click.group()
def jobs() -> None:
    """Submit jobs and see what becomes of them."""


@jobs.command("submit")
@click.argument("prompt")
@click.option("--model", help="Which model answers.  [default: GRIDLOOM_MODEL]")
@click.option("--priority", type=int, help="Higher goes first.")
@click.option("--tag", help="A label to find the job by.")
@click.option("--timeout-seconds", type=int, help="How long the answer may take from when a worker has the job.")
@click.option("--webhook-url", help="Where to post the job when it has ended.")
@click.option("--image", "images", type=_FILE, multiple=True, help="A picture to look at; may be given several times.")
@click.option("--watch", is_flag=True, help="Print the answer as it comes.")
@json_option
def submit(prompt: str, model: str | None, images: tuple[Path, ...], **options: Any) -> None:
    """Submit a prompt; `-` reads it from standard input."""
    shown = {name: options.pop(name) for name in ("watch", "as_json")}
    text = sys.stdin.read() if prompt == "-" else prompt
    body = {"model": model or setting("model", home(), os.environ), "prompt": text}
    body |= {name: value for name, value in options.items() if value is not None}
    ask(lambda client: _submit(client, body, images, **shown))


@jobs.command("watch")
@click.argument("job")
def watch_job(job: str) -> None:
    """Print a job's answer as it comes, from its beginning."""
    ask(lambda client: _watch(client, job))


@jobs.command("list")
@click.option("--status", help="pending, claimed, running, completed, failed or cancelled.")
@click.option("--tag", help="Only jobs with this label.")
@click.option("--page", type=int, default=1, show_default=True)
@json_option
def list_jobs(status: str | None, tag: str | None, page: int, as_json: bool) -> None:
    """List jobs, newest first."""
    query = {"page": str(page)} | ({"status": status} if status else {}) | ({"tag": tag} if tag else {})
    answer = ask(lambda client: client.call("GET", "/api/v1/jobs", query=query))
    if as_json:
        print_json(answer)
        return
    print_rows(_COLUMNS | {"created": "created_at", "ended": "completed_at"}, answer["jobs"])
    click.echo(f"page {answer['page']} of {answer['total_pages']}, {answer['total']} jobs")


@jobs.command("show")
@click.argument("job")
@json_option
def show(job: str, as_json: bool) -> None:
    """Show one job."""
    document = ask(lambda client: client.call("GET", f"/api/v1/jobs/{job}"))
    print_json(document) if as_json else print_fields(document)


@jobs.command("timeline")
@click.argument("job")
@json_option
def timeline(job: str, as_json: bool) -> None:
    """Show everything that happened to a job, with times and reasons."""
    answer = ask(lambda client: client.call("GET", f"/api/v1/jobs/{job}/timeline"))
    print_json(answer) if as_json else print_story(answer["events"])


@jobs.command("cancel")
@click.argument("job")
def cancel(job: str) -> None:
    """Cancel a job."""
    document = ask(lambda client: client.call("POST", f"/api/v1/jobs/{job}/cancel"))
    click.echo(f"job {job} is {document['status']}")


@jobs.command("retry")
@click.argument("job")
def retry(job: str) -> None:
    """Run a failed job again."""
    document = ask(lambda client: client.call("POST", f"/api/v1/jobs/{job}/retry"))
    click.echo(f"job {job} is {document['status']}")


@click.command()
@json_option
def models(as_json: bool) -> None:
    """List the models that workers have offered."""
    answer = ask(lambda client: client.call("GET", "/api/v1/models"))
    columns = {"model": "name", "workers": "worker_count", "slots": "slots", "waiting": "waiting"}
    print_json(answer) if as_json else print_rows(columns | {"tokens/s": "tokens_per_second"}, answer)


async def _submit(client: Client, body: dict[str, Any], images: Sequence[Path], *, watch: bool, as_json: bool) -> None:
    if images:
        accepted = await submit_with_files(client, body, images)
    else:
        accepted = await client.call("POST", "/api/v1/jobs", body)
    if watch:
        click.echo(f"job {accepted['job_id']}", err=True)
        await _watch(client, accepted["job_id"])
    elif as_json:
        print_json(accepted)
    else:
        click.echo(accepted["job_id"])


async def _watch(client: Client, job: str) -> None:
    voice = Voice(say=lambda text: click.echo(text, err=True), write=lambda text: click.echo(text, nl=False))
    document = await follow_job(client, job, voice)
    click.echo()
    require_success(document)
