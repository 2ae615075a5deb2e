"""`gridloom demo`."""

from __future__ import annotations

import os

import click

from gridloom_local.cli.running import home, run, say, write
from gridloom_local.cli.stack import engine_option
from gridloom_local.demo import PROMPT, demo_home, show
from gridloom_local.ports import gateway_port
from gridloom_local.voice import Voice


@click.command()
@click.option("--prompt", default=PROMPT, show_default=True, help="What to ask.")
@engine_option
def demo(prompt: str, engine: str) -> None:
    """Start everything, ask a real language model over HTTP, show what happened, and stop everything."""
    run(show(demo_home(home()), gateway_port(os.environ), engine, prompt, Voice(say, write)))
