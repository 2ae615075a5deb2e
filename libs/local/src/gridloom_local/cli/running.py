"""How a command runs: its coroutine under signals, its gateway and key."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import click

from gridloom_local.client import Client, open_client
from gridloom_local.facts import setting
from gridloom_local.home import Home, locate_home

T = TypeVar("T")

_INTERRUPTED = 130


def home() -> Home:
    """Return the home that the environment names."""
    return locate_home(os.environ)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work`. Ctrl-C, SIGTERM or a closed terminal cancels it, so it can clean up; the exit code is then 130."""
    try:
        return asyncio.run(_under_signals(work))
    except asyncio.CancelledError:
        raise click.exceptions.Exit(_INTERRUPTED) from None


def say(text: str) -> None:
    """Print a line. A terminal that is gone must not keep a stack from being stopped in order."""
    write(f"{text}\n")


def write(text: str) -> None:
    """Print text as it comes; where nobody reads any more, it is lost."""
    with suppress(OSError):
        click.echo(text, nl=False)


def ask(question: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
    """Ask the gateway with the account's API key."""
    return run(_ask("api_key", question))


def ask_as_admin(question: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
    """Ask the gateway with the admin key."""
    return run(_ask("admin_key", question))


async def _ask(key: str, question: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
    url = setting("url", home(), os.environ)
    async with open_client(url, setting(key, home(), os.environ)) as client:
        return await question(client)


async def _under_signals(work: Coroutine[Any, Any, T]) -> T:
    task = asyncio.current_task()
    if task is not None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await work
