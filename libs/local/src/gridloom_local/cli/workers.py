"""`gridloom workers`: the machines that do the work."""

from __future__ import annotations

import os

import click

from gridloom_local.cli.running import ask_as_admin, home
from gridloom_local.facts import read_env
from gridloom_local.tables import moment, print_json, print_table

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def workers() -> None:
    """The machines that do the work."""


@workers.command("enrol")
@click.argument("name")
@click.option("--account", help="Make it a private worker of this account.")
@click.option(
    "--serves", multiple=True, metavar="ACCOUNT", help="Whom a private worker serves besides; may be repeated."
)
@json_option
def enrol(name: str, account: str | None, serves: tuple[str, ...], as_json: bool) -> None:
    """Make an identity for a worker and print how to run it. The token is shown this once."""
    body = {"name": name} | ({"account": account} if account else {}) | ({"serves": serves} if serves else {})
    enrolled = ask_as_admin(lambda admin: admin.call("POST", "/admin/v1/workers", body))
    if as_json:
        print_json(enrolled)
        return
    nats = os.environ.get("GRIDLOOM_NATS_URL") or read_env(home().env_file).get("GRIDLOOM_NATS_URL", "nats://HOST:4222")
    click.echo(f"worker {enrolled['worker']} is enrolled. Run it where the models are, for example with Ollama:\n")
    click.echo(
        f"  gridloom-worker --token {enrolled['token']} --nats {nats} "
        "--engine openai_http --url http://127.0.0.1:11434/v1"
    )


@workers.command("list")
@json_option
def list_workers(as_json: bool) -> None:
    """List all workers that were ever enrolled."""
    entries = ask_as_admin(lambda admin: admin.every("/admin/v1/workers", "workers"))
    if as_json:
        print_json(entries)
        return
    columns = ("worker", "name", "state", "models", "free slots", "jobs", "engine", "last seen")
    rows = [
        (
            *(entry.get(field) for field in ("worker", "name", "state")),
            [offer["model"] for offer in entry.get("offers", ())],
            f"{entry['free_slots']} of {entry['slots']}",
            *(entry.get(field) for field in ("jobs", "engine")),
            moment(entry.get("last_seen_at")),
        )
        for entry in entries
    ]
    print_table(columns, rows)


@workers.command("drain")
@click.argument("worker")
def drain(worker: str) -> None:
    """Let a worker finish what it has and give it nothing new."""
    ask_as_admin(lambda admin: admin.call("POST", f"/admin/v1/workers/{worker}/drain"))
    click.echo(f"worker {worker} drains; `gridloom workers resume {worker}` ends that")


@workers.command("resume")
@click.argument("worker")
def resume(worker: str) -> None:
    """Give a drained worker new jobs again."""
    ask_as_admin(lambda admin: admin.call("POST", f"/admin/v1/workers/{worker}/resume"))
    click.echo(f"worker {worker} takes jobs again")


@workers.command("revoke")
@click.argument("worker")
def revoke(worker: str) -> None:
    """Void a worker's token, end its connection and give its jobs to others."""
    ask_as_admin(lambda admin: admin.call("DELETE", f"/admin/v1/workers/{worker}"))
    click.echo(f"worker {worker} is revoked")
