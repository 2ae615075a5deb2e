"""The folder of one embedded stack: where its data, logs, secrets and facts lie, and who holds it right now."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gridloom_local.problems import Problem

DEFAULT_FOLDER = ".gridloom"
_LONGEST_SOCKET_PATH = 90
"""A unix socket path must stay below 104 bytes (macOS; Linux: 108), and supervisord appends its pid while binding."""


@dataclass(frozen=True)
class Home:
    """Paths of one stack. Nothing is created until `prepare` is called."""

    folder: Path

    @property
    def logs(self) -> Path:
        """One log file for each process."""
        return self.folder / "logs"

    @property
    def data(self) -> Path:
        """What survives `down` and `up`."""
        return self.folder / "data"

    @property
    def env_file(self) -> Path:
        """The facts of the running stack; it is gone when the stack is down."""
        return self.folder / "env"

    @property
    def scripts(self) -> Path:
        """How each program is started; secrets are in them."""
        return self.folder / "run"

    @property
    def supervisor_config(self) -> Path:
        """What supervisord was started with."""
        return self.folder / "supervisord.conf"

    @property
    def supervisor_pid_file(self) -> Path:
        """The process id of supervisord."""
        return self.folder / "supervisord.pid"

    @property
    def supervisor_log(self) -> Path:
        """What supervisord did: every start, death and restart of a process."""
        return self.logs / "supervisord.log"

    @property
    def supervisor_output(self) -> Path:
        """What supervisord says before it can write its log."""
        return self.logs / "supervisord.out"

    @property
    def ports_file(self) -> Path:
        """The ports of the last start, used again if they are still free."""
        return self.folder / "ports.json"

    @property
    def keys_file(self) -> Path:
        """The account, API key and worker token that the first `up` made."""
        return self.folder / "keys.json"

    @property
    def secrets_file(self) -> Path:
        """The passwords and keys between the parts of the stack."""
        return self.folder / "secrets.json"

    @property
    def socket(self) -> Path:
        """Supervisord's control socket: in the home, or in a private temporary folder if the home lies too deep."""
        beside = self.folder / "supervisor.sock"
        if len(os.fsencode(beside)) <= _LONGEST_SOCKET_PATH:
            return beside
        digest = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"gridloom-{os.getuid()}-{digest}" / "supervisor.sock"

    def log_of(self, name: str) -> Path:
        """Return the log file of a server or service."""
        return self.logs / f"{name}.log"

    def prepare(self) -> None:
        """Create the folders, readable by their owner only. Raises Problem if the socket's folder is not private."""
        for folder in (self.folder, self.logs, self.data, self.scripts, self.socket.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _require_private(self.socket.parent)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the home while starting or stopping. Raises Problem if another `gridloom` command is doing that now."""
        self.prepare()
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise Problem(
                    f"another gridloom command is starting or stopping the stack in {self.folder}",
                    remedy="wait for it, or use another folder with GRIDLOOM_HOME",
                ) from error
            yield


def locate_home(environ: Mapping[str, str]) -> Home:
    """Return the home named by GRIDLOOM_HOME, else `.gridloom` in the current folder."""
    return Home(Path(environ.get("GRIDLOOM_HOME") or DEFAULT_FOLDER).expanduser().absolute())


def _require_private(folder: Path) -> None:
    status = folder.stat()
    if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o022:
        raise Problem(
            f"{folder} can be written by other users, so a control socket in it would not be safe",
            remedy=f"remove {folder}, or set GRIDLOOM_HOME to a folder of your own",
        )
