"""Runs official clients, unmodified, against a grid: each is a small script in `tests/clients` that prints JSON.

They live in environments of their own (`make clients`), so that nothing of ours can help them.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "tests/clients"
PYTHON = ROOT / ".venv-clients/bin/python"
FRAMEWORKS_PYTHON = ROOT / ".venv-frameworks/bin/python"

_PATIENCE_SECONDS = 100.0
_INSTALL_SECONDS = 110.0
_OLDEST_NODE = 20


def install_clients(which: str = "official") -> None:
    """Have the clients installed. Without a registry the test is skipped, or fails where that must not be."""
    command = [sys.executable, ROOT / ".ci/clients", which]
    made = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False)
    if made.returncode == 0:
        return
    message = f"the clients cannot be installed: {made.stderr[-2000:]}"
    if os.environ.get("CI", "false").lower() in {"", "0", "false"}:
        pytest.skip(message)
    raise AssertionError(message)


def install_node_clients() -> None:
    """Have the clients of npm installed. Without Node.js the test is skipped: nothing of ours needs it."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"the clients of npm need {program}, which this machine does not have")
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    if int(said.strip().removeprefix("v").split(".")[0]) < _OLDEST_NODE:
        pytest.skip(f"the clients of npm need Node.js {_OLDEST_NODE}, and this is {said.strip()}")
    install_clients("node")


async def run_client(*command: str | Path) -> Any:
    """Return what a client's script printed. Raises AssertionError with its last words if it failed."""
    # Nothing of this process may lead it elsewhere.
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment
    )
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            printed, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        raise
    assert process.returncode == 0, errors.decode()[-3000:]
    return msgspec.json.decode(printed)


async def run_python_client(script: str, *arguments: str) -> Any:
    """Return what a Python client's script printed."""
    return await run_client(PYTHON, SCRIPTS / script, *arguments)
