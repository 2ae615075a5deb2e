"""`gridloom up`, `down` and `status`."""

from __future__ import annotations

import asyncio
import os

import click

from gridloom_kit.finish import finish
from gridloom_local.cli.running import home, run, say
from gridloom_local.facts import Facts
from gridloom_local.observation import Condition, conditions, watch
from gridloom_local.plan import ENGINES, LLAMACPP
from gridloom_local.ports import gateway_port
from gridloom_local.problems import FAILED
from gridloom_local.stack import Stack
from gridloom_local.tables import print_json, print_table, seconds

engine_option = click.option(
    "--engine",
    type=click.Choice(ENGINES),
    default=LLAMACPP,
    show_default=True,
    help="What the stack's worker answers with: the SmolLM2 language model, or made-up text at once.",
)


@click.command()
@click.option("--detach", is_flag=True, help="Return once the stack is up; `gridloom down` stops it.")
@engine_option
def up(detach: bool, engine: str) -> None:
    """Start the embedded stack: NATS, MongoDB, S3, the services and one worker."""
    run(_up_detached(engine) if detach else _up(engine))


@click.command()
def down() -> None:
    """Stop the embedded stack. Its data stays."""
    stopped = run(Stack(home(), say).down())
    say("the stack is down" if stopped else f"no stack runs in {home().folder}")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Show each process of the running stack. Exit code 1 unless all are ready."""
    found = conditions(home())
    print_json(found) if as_json else _print_conditions(found)
    if not all(one.is_ready for one in found):
        ctx.exit(FAILED)


def _print_conditions(found: list[Condition]) -> None:
    rows = [
        (c.name, c.state, "yes" if c.is_ready else "no", c.pid, seconds(c.up_seconds), c.deaths, c.log) for c in found
    ]
    print_table(("process", "state", "ready", "pid", "up", "deaths", "log"), rows)


async def _up_detached(engine: str) -> None:
    _print_facts(await Stack(home(), say).up(gateway_port(os.environ), engine))
    say(f"\nFor your shell: set -a; . {home().env_file}; set +a\nStop it with: gridloom down")


async def _up(engine: str) -> None:
    stack = Stack(home(), say)
    facts = await stack.up(gateway_port(os.environ), engine)
    try:
        _print_facts(facts)
        say("\nCtrl-C stops it.")
        await watch(home(), say)
        say("the stack was stopped from elsewhere")
    except asyncio.CancelledError:
        _forget_cancellation()
        say("\nstopping")
    finally:
        await finish(stack.down_if_up())


def _forget_cancellation() -> None:
    """Ctrl-C is how `up` ends as intended: what follows runs as if nobody had canceled anything."""
    if task := asyncio.current_task():
        task.uncancel()


def _print_facts(facts: Facts) -> None:
    say(f"\nGridloom runs.\n  base URL  {facts.url}\n  API key   {facts.api_key}\n  model     {facts.model}\n")
    say(f"Try it:\n  {facts.curl()}")
