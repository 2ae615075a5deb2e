"""`gridloom webhooks`: what was delivered, what was not and why, and delivering it again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import click

from gridloom_local.cli.running import ask
from gridloom_local.tables import moment, print_fields, print_json, print_rows, print_table

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
state_option = click.option("--state", type=click.Choice(["pending", "delivered", "dead"]), help="Only those in it.")

_DELIVERIES: Final = "/api/v1/webhooks/deliveries"
_SECRET: Final = "/api/v1/webhooks/secret"  # noqa: S105 - a path
_COLUMNS: Final = {"delivery": "id", "state": "state", "event": "event", "attempts": "tries", "last": "last"}
_TIMES: Final = {"next attempt": "next_attempt_at", "created": "created_at", "url": "url"}


@click.group()
def webhooks() -> None:
    """What was delivered to receivers, and delivering it again."""


@webhooks.command("list")
@click.option("--job", help="Only those of this job.")
@state_option
@click.option("--page", type=int, default=1, show_default=True)
@json_option
def list_deliveries(job: str | None, state: str | None, page: int, as_json: bool) -> None:
    """List deliveries, newest first. Dead ones wait for a replay."""
    query = {"page": str(page)} | ({"job_id": job} if job else {}) | ({"state": state} if state else {})
    answer = ask(lambda client: client.call("GET", _DELIVERIES, query=query))
    if as_json:
        print_json(answer)
        return
    print_rows(_COLUMNS | _TIMES, [summary(delivery) for delivery in answer["deliveries"]])
    click.echo(f"page {answer['page']} of {answer['total_pages']}, {answer['total']} deliveries")


@webhooks.command("show")
@click.argument("delivery")
@json_option
def show(delivery: str, as_json: bool) -> None:
    """Show one delivery with its attempts."""
    found = ask(lambda client: client.call("GET", f"{_DELIVERIES}/{delivery}"))
    if as_json:
        print_json(found)
        return
    print_fields({name: value for name, value in found.items() if name != "attempts"})
    columns = ("at", "result", "status", "took", "answer", "error")
    print_table(columns, [_attempt(attempt) for attempt in found["attempts"]], title="Attempts")


@webhooks.command("replay")
@click.argument("delivery", required=False)
@click.option("--since", help="All created from this time on, for example 2026-01-15T10:30:00Z.")
@click.option("--until", help="All created before this time.")
@state_option
def replay(delivery: str | None, since: str | None, until: str | None, state: str | None) -> None:
    """Deliver one again, or all of a range of time: with the same id and the same bytes."""
    times = {name: _instant(name, text) for name, text in {"since": since, "until": until}.items() if text}
    if bool(delivery) == bool(times):
        raise click.UsageError("name one delivery, or a range by --since and --until")
    if delivery:
        answer = ask(lambda client: client.call("POST", f"{_DELIVERIES}/{delivery}/replay"))
    else:
        wish = times | ({"state": state} if state else {})
        answer = ask(lambda client: client.call("POST", f"{_DELIVERIES}/replay", wish))
    click.echo(f"{answer['replayed']} to be delivered again")


@webhooks.group("secret")
def secret() -> None:
    """The secret that signs the account's webhooks."""


@secret.command("show")
def show_secret() -> None:
    """Print the secret: `whsec_…`."""
    click.echo(ask(lambda client: client.call("GET", _SECRET))["key"])


@secret.command("rotate")
def rotate_secret() -> None:
    """Make a new secret and print it. For a day more each webhook is signed with the old one, too."""
    ask(lambda client: client.call("POST", f"{_SECRET}/rotate"))
    click.echo(ask(lambda client: client.call("GET", _SECRET))["key"])


def summary(delivery: dict[str, Any]) -> dict[str, Any]:
    """Return a delivery as one row: its attempts as their number and the last one's result."""
    attempts = delivery["attempts"]
    return delivery | {"tries": len(attempts), "last": attempts[-1]["result"] if attempts else None}


def _attempt(attempt: dict[str, Any]) -> tuple[object, ...]:
    took = f"{attempt['duration_ms']} ms"
    told = (attempt.get("status"), took, attempt.get("response"), attempt.get("error"))
    return (moment(attempt["at"]), attempt["result"], *told)


def _instant(name: str, text: str) -> str:
    """Return a time as the API reads it. Without a zone it is UTC, as all times that are printed here."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no time such as 2026-01-15T10:30:00Z", param_hint=f"--{name}") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat()
