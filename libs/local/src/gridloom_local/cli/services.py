"""`gridloom run <service>`: become that service. This is what a container's command says."""

from __future__ import annotations

import importlib.util
import os
import sys

import click

from gridloom_local.plan import SERVICES
from gridloom_local.problems import Problem


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("service", type=click.Choice(sorted(SERVICES)))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(service: str, arguments: tuple[str, ...]) -> None:
    """Run one service in the foreground; its settings are GRIDLOOM_<SERVICE>_… variables.

    What follows the service's name is handed on: `gridloom run worker --help`.
    """
    module = f"gridloom_{service}"
    if importlib.util.find_spec(module) is None:
        raise Problem(
            f"the {service} is not installed in {sys.prefix}", remedy=f"install the package gridloom-{service}"
        )
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606 - no shell, on purpose
