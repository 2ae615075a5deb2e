"""`gridloom usage`: tokens and jobs by day and tag, what is left of the quota, and the proof that it is right."""

from __future__ import annotations

from typing import Final

import click

from gridloom_local.cli.running import ask, ask_as_admin
from gridloom_local.proofs import tell_proof
from gridloom_local.tables import print_json
from gridloom_local.usage_report import print_line, print_statement

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

_OWN: Final = "/api/v1/usage"
_QUERY: Final = {"since": "from", "until": "to", "group_by": "group_by"}
_PROOF_SECONDS: Final = 660.0
"""A little longer than the gateway waits for a proof."""


@click.group(invoke_without_command=True)
@click.option("--from", "since", help="First day, YYYY-MM-DD in UTC.  [default: 30 days]")
@click.option("--to", "until", help="Last day.  [default: today]")
@click.option("--group-by", help="Any of day, tag, model, key, with commas.  [default: day,tag]")
@click.option("--account", help="Another account's usage, with the admin key.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@json_option
@click.pass_context
def usage(context: click.Context, /, account: str | None, as_csv: bool, as_json: bool, **options: str | None) -> None:
    """Show what the account used, and what is left of its quota."""
    if context.invoked_subcommand is not None:
        return
    if as_csv and as_json:
        raise click.UsageError("choose one of --csv and --json")
    query = {_QUERY[name]: value for name, value in options.items() if value is not None}
    path = f"/admin/v1/accounts/{account}/usage" if account else _OWN
    who = ask_as_admin if account else ask
    if as_csv:
        click.echo(who(lambda client: client.text(path, query | {"format": "csv"})), nl=False)
        return
    statement = who(lambda client: client.call("GET", path, query=query))
    print_json(statement) if as_json else print_statement(statement)


@usage.command("job")
@click.argument("job")
@json_option
def of_job(job: str, as_json: bool) -> None:
    """Show what one ended job took."""
    line = ask(lambda client: client.call("GET", f"/api/v1/jobs/{job}/usage"))
    print_json(line) if as_json else print_line(line)


@usage.command("verify")
@json_option
def verify(as_json: bool) -> None:
    """Compare the ledger with the jobs, and the totals with the ledger; exit code 1 if anything differs."""
    proof = ask_as_admin(lambda admin: admin.call("POST", "/admin/v1/usage/verify", within_seconds=_PROOF_SECONDS))
    if as_json:
        print_json(proof)
    click.echo(tell_proof("usage", proof), err=as_json)
