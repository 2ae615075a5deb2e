"""The table of all commands. Each is imported when it is called: `gridloom run` must not pay for the doctor."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

import click

from gridloom_local.problems import Problem

COMMANDS: Final = {
    "demo": ("demo", "Start everything, let a real language model answer over HTTP, stop everything."),
    "up": ("stack", "Start the embedded stack: NATS, MongoDB, S3, the services and one worker."),
    "down": ("stack", "Stop the embedded stack. Its data stays."),
    "status": ("stack", "Show each process of the running stack."),
    "doctor": ("doctor", "Check this machine, and the stack if one runs."),
    "jobs": ("jobs", "Submit jobs and see what becomes of them."),
    "webhooks": ("webhooks", "What was delivered to receivers, and delivering it again."),
    "usage": ("usage", "Show what the account used, and what is left of its quota."),
    "models": ("jobs", "List the models that workers have offered."),
    "plans": ("plans", "What accounts may use: tokens, rates, waiting and parallel jobs."),
    "quota": ("plans", "How accounts stand, and the proof that no token is lost."),
    "accounts": ("accounts", "Who may use the grid."),
    "keys": ("accounts", "The API keys of accounts."),
    "workers": ("workers", "The machines that do the work."),
    "run": ("services", "Run one service in the foreground."),
}
"""Name of each command, the module of this package that has it, and what it does in one line."""


class Commands(click.Group):
    """A group that imports a command when it is called, and ends with a Problem's own words and exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """Return all names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """Return one command, importing its module."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"gridloom_local.cli.{COMMANDS[cmd_name][0]}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was called."""
        try:
            return super().invoke(ctx)
        except Problem as problem:
            click.echo(problem.render(), err=True)
            ctx.exit(problem.exit_code)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gridloom-local", prog_name="gridloom")
def main() -> None:
    """Gridloom, a self-hosted inference grid.

    Start it here with `up`, or point GRIDLOOM_URL, GRIDLOOM_API_KEY and GRIDLOOM_ADMIN_KEY at one that runs elsewhere.
    GRIDLOOM_HOME is the folder of the stack (.gridloom), GRIDLOOM_PORT the gateway's port (8080).

    Exit codes: 0 done, 1 something failed, 2 wrong usage, 3 nothing runs there, 4 the gateway refused,
    5 the job did not succeed, 130 interrupted.
    """
