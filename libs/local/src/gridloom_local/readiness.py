"""Waiting for something to become true by asking it often, never by sleeping for a guessed time."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from typing import Final

from gridloom_local.problems import Problem
from gridloom_local.servers import LOOPBACK

_PAUSE_SECONDS: Final = 0.03
_ANSWER_SECONDS: Final = 2.0


def probe(port: int, path: str = "/readyz") -> tuple[int, str]:
    """Return status and text of a service's internal page. The status is 0 if nobody answers."""
    connection = HTTPConnection(LOOPBACK, port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace").strip()
    except (OSError, HTTPException) as error:
        return 0, str(error)
    finally:
        connection.close()


def says_ready(port: int) -> Callable[[], bool]:
    """Return the question whether the service with this internal port is ready."""
    return lambda: probe(port)[0] == 200


def accepts(port: int) -> Callable[[], bool]:
    """Return the question whether anybody listens on `port`."""

    def is_answered() -> bool:
        try:
            socket.create_connection((LOOPBACK, port), timeout=_ANSWER_SECONDS).close()
        except OSError:
            return False
        return True

    return is_answered


async def until(is_true: Callable[[], bool], within_seconds: float, otherwise: Callable[[], Problem]) -> None:
    """Return once `is_true()`; it may block. Raises the Problem made by `otherwise` when the time is over."""
    deadline = time.monotonic() + within_seconds
    while not await asyncio.to_thread(is_true):
        if time.monotonic() > deadline:
            raise otherwise()
        await asyncio.sleep(_PAUSE_SECONDS)
