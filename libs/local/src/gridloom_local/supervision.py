"""Supervisord as this stack's process supervisor: starting it, speaking to it, ending it. Knows no Gridloom service."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from http.client import HTTPException
from typing import Any, TypeVar
from xmlrpc.client import Error as RpcError
from xmlrpc.client import Fault as RpcFault
from xmlrpc.client import ServerProxy

from supervisor.xmlrpc import Faults, SupervisorTransport  # type: ignore[import-untyped]

from gridloom_local.home import Home
from gridloom_local.leftovers import MARK
from gridloom_local.problems import Problem
from gridloom_local.program import Program, render_config, render_script
from gridloom_local.servers import write_private

T = TypeVar("T")

_RPC_INTERFACE = "supervisor.rpcinterface:make_main_rpcinterface"
_INHERITED = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TMPDIR")
"""What of the caller's environment reaches the processes."""

RUNNING = ("STARTING", "RUNNING")
ENDED = ("STOPPED", "EXITED", "FATAL", "BACKOFF", "UNKNOWN")
BROKEN = ("EXITED", "FATAL", "BACKOFF")
"""States that say a process died: on a first start that is a failure, later it is restarted."""


class Supervisor:
    """The supervisord of one home, spoken to over its unix socket."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def configure(self, programs: Sequence[Program]) -> None:
        """Write supervisord.conf and a start script for each of these programs, readable by their owner only."""
        scripts = {self._home.scripts / f"{program.name}.sh": program for program in programs}
        for script, program in scripts.items():
            write_private(script, render_script(program).encode())
        write_private(self._home.supervisor_config, render_config(self._header(), scripts).encode())

    def launch(self) -> subprocess.Popen[bytes]:
        """Start supervisord in a session of its own: Ctrl-C in a terminal then reaches only the `gridloom` command."""
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self._home.supervisor_config)]
        inherited = {name: value for name, value in os.environ.items() if name in _INHERITED}
        output = self._home.supervisor_output.open("wb")
        with output:
            return subprocess.Popen(
                command,
                env=inherited | {MARK: str(self._home.folder)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def answers(self) -> bool:
        """Tell whether a supervisord answers on the socket of this home."""
        try:
            self._call(lambda remote: remote.getState())
        except (OSError, HTTPException, RpcError):
            return False
        return True

    def processes(self) -> dict[str, dict[str, Any]]:
        """Return what supervisord knows of each program: `statename`, `pid`, `start` and more."""
        return {info["name"]: info for info in self._call(lambda remote: remote.getAllProcessInfo())}

    def start(self, name: str) -> None:
        """Start one program and return at once. Starting a started one changes nothing."""
        self._call_quietly(lambda remote: remote.startProcess(name, False), Faults.ALREADY_STARTED)

    def stop(self, name: str) -> None:
        """Ask one program to stop and return at once. Stopping a stopped one changes nothing."""
        self._call_quietly(lambda remote: remote.stopProcess(name, False), Faults.NOT_RUNNING)

    def replace(self, programs: Sequence[Program], name: str) -> None:
        """Configure all `programs` anew and start the one called `name` with its new configuration."""
        self.configure(programs)
        self._call(lambda remote: remote.reloadConfig())
        self._call_quietly(lambda remote: remote.stopProcessGroup(name), Faults.BAD_NAME)
        self._call_quietly(lambda remote: remote.removeProcessGroup(name), Faults.BAD_NAME)
        self._call(lambda remote: remote.addProcessGroup(name))
        self.start(name)

    def shut_down(self) -> None:
        """Ask supervisord to stop whatever still runs and to end."""
        self._call(lambda remote: remote.shutdown())

    def _header(self) -> dict[str, dict[str, str]]:
        home = self._home
        return {
            "unix_http_server": {"file": str(home.socket), "chmod": "0600"},
            "supervisord": {
                "nodaemon": "true",
                "logfile": str(home.supervisor_log),
                "pidfile": str(home.supervisor_pid_file),
                "childlogdir": str(home.logs),
                "identifier": "gridloom",
                **({"user": getpass.getuser()} if os.geteuid() == 0 else {}),
            },
            "rpcinterface:supervisor": {"supervisor.rpcinterface_factory": _RPC_INTERFACE},
        }

    def _call_quietly(self, question: Callable[[Any], object], harmless: int) -> None:
        try:
            self._call(question)
        except RpcFault as fault:
            if fault.faultCode != harmless:
                raise Problem(
                    f"the process supervisor refused: {fault.faultString}", log=self._home.supervisor_log
                ) from fault

    def _call(self, question: Callable[[Any], T]) -> T:
        transport = SupervisorTransport(serverurl=f"unix://{self._home.socket}")
        try:
            return question(ServerProxy("http://localhost", transport=transport).supervisor)
        finally:
            transport.close()
