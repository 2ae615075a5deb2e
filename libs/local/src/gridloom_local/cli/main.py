"""The table of all commands."""

from __future__ import annotations

import click

from gridloom_local.cli.accounts import accounts, keys
from gridloom_local.cli.demo import demo
from gridloom_local.cli.doctor import doctor
from gridloom_local.cli.jobs import jobs, models
from gridloom_local.cli.running import Commands
from gridloom_local.cli.services import SERVICE_COMMANDS, service_command
from gridloom_local.cli.stack import down, status, up
from gridloom_local.cli.workers import workers


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gridloom-local", prog_name="gridloom")
def main() -> None:
    """Gridloom, a self-hosted inference grid.

    Start it here with `up`, or point GRIDLOOM_URL, GRIDLOOM_API_KEY and GRIDLOOM_ADMIN_KEY at one that runs elsewhere.
    GRIDLOOM_HOME is the folder of the stack (.gridloom), GRIDLOOM_PORT the gateway's port (8080).

    Exit codes: 0 done, 1 something failed, 2 wrong usage, 3 nothing runs there, 4 the gateway refused,
    5 the job did not succeed, 130 interrupted.
    """


for _command in (demo, up, down, status, doctor, accounts, keys, workers, jobs, models):
    main.add_command(_command)
for _service in SERVICE_COMMANDS:
    main.add_command(service_command(_service))
