"""`gridloom gateway`, `scheduler` and `worker`: become that service. This is what a container's command says."""

from __future__ import annotations

import importlib.util
import os
import sys

import click

from gridloom_contract.registry import GATEWAY, SCHEDULER, WORKER
from gridloom_local.problems import Problem

SERVICE_COMMANDS = (GATEWAY, SCHEDULER, WORKER)


def service_command(name: str) -> click.Command:
    """Return the command that replaces this process by the service `name`; all arguments are handed on."""

    @click.command(
        name,
        help=f"Run the {name} in the foreground; its settings are GRIDLOOM_{name.upper()}_… variables.",
        context_settings={"ignore_unknown_options": True, "help_option_names": []},
        add_help_option=False,
    )
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def become(arguments: tuple[str, ...]) -> None:
        module = f"gridloom_{name}"
        if importlib.util.find_spec(module) is None:
            raise Problem(f"the {name} is not installed in {sys.prefix}", remedy=f"install the package gridloom-{name}")
        os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606 - no shell, on purpose

    return become
