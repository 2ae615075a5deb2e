"""Which loopback ports a stack uses: the gateway's as asked for, all others free ones that are remembered."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from gridloom_local.problems import Problem
from gridloom_local.servers import LOOPBACK, free_port, write_private

DEFAULT_GATEWAY_PORT = 8080


def gateway_port(environ: Mapping[str, str]) -> int:
    """Return GRIDLOOM_PORT, or 8080. Raises Problem for anything that is no port number."""
    text = environ.get("GRIDLOOM_PORT") or str(DEFAULT_GATEWAY_PORT)
    if text.isascii() and text.isdigit() and 0 < int(text) < 65536:
        return int(text)
    raise Problem(f"GRIDLOOM_PORT={text!r} is not a port", remedy="set it to a number from 1 to 65535")


def require_free(port: int) -> None:
    """Raise Problem if something listens on the gateway's port already."""
    if not is_free(port):
        raise Problem(
            f"port {port} on {LOOPBACK} is taken by another program",
            remedy=f"choose another port for the gateway, for example: GRIDLOOM_PORT={free_port()} gridloom up",
        )


def is_free(port: int) -> bool:
    """Tell whether this process could listen on `port` now. One whose last connections still close is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def choose_ports(names: Sequence[str], remembered: Mapping[str, int]) -> dict[str, int]:
    """Return a different port for each name: the remembered one where it is still free, else a new one."""
    chosen = {name: remembered[name] for name in names if name in remembered and is_free(remembered[name])}
    for name in names:
        while name not in chosen:
            port = free_port()
            if port not in chosen.values():
                chosen[name] = port
    return chosen


def remembered_ports(path: Path) -> dict[str, int]:
    """Return the ports written by the last start; empty if there are none or the file is damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, int])
    except (OSError, msgspec.DecodeError):
        return {}


def remember_ports(path: Path, ports: Mapping[str, int]) -> None:
    """Write `ports` for the next start."""
    write_private(path, msgspec.json.encode(dict(ports)))
