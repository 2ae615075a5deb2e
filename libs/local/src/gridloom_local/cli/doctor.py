"""`gridloom doctor`."""

from __future__ import annotations

import click

from gridloom_local.cli.running import home, run
from gridloom_local.doctor.findings import Verdict
from gridloom_local.doctor.report import examine_all
from gridloom_local.leftovers import running_supervisor
from gridloom_local.problems import FAILED
from gridloom_local.tables import print_json, print_table


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check this machine, and the stack if one runs. Exit code 1 if anything fails."""
    findings = run(examine_all(home()))
    if as_json:
        print_json(findings)
    else:
        rows = [(one.verdict.value, one.check, one.details, one.remedy) for one in findings]
        print_table(("", "check", "found", "what to do"), rows)
        if not running_supervisor(home()):
            click.echo(f"no stack runs in {home().folder}: only the machine was checked")
    if any(one.verdict is Verdict.FAIL for one in findings):
        ctx.exit(FAILED)
