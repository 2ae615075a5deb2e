"""What the supervisor's log says about deaths and restarts, as sentences for people."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_LINE: Final = re.compile(
    r"^(?P<time>\S+ \S+) \w+ (?:"
    r"exited: (?P<died>\S+) \((?P<how>[^;]+)"
    r"|spawned: '(?P<spawned>[^']+)' with pid (?P<pid>\d+)"
    r"|gave up: (?P<given_up>\S+) "
    r"|spawnerr: (?P<error>.+)"
    r"|(?P<new>supervisord started) with pid "
    r")"
)


class Announcer:
    """Turns the lines of supervisord's log into announcements: a death, a restart, a start that failed."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._dead: set[str] = set()
        self.deaths: Counter[str] = Counter()
        """How often each program died since supervisord was started."""

    def read(self, lines: Iterable[str]) -> list[str]:
        """Return the announcements these lines call for, in their order."""
        return [text for line in lines if (match := _LINE.match(line)) and (text := self._sentence(match))]

    def _sentence(self, match: re.Match[str]) -> str | None:
        if match["new"]:
            self._dead.clear()
            self.deaths.clear()
        if name := match["died"]:
            self._dead.add(name)
            self.deaths[name] += 1
            return f"{name} died ({match['how']}) and will be started again; its log is {self._logs / name}.log"
        if name := match["spawned"]:
            return self._restarted(name, match["pid"])
        if name := match["given_up"]:
            return f"{name} died too often and is not started again; its log is {self._logs / name}.log"
        return f"the process supervisor says: {match['error']}" if match["error"] else None

    def _restarted(self, name: str, pid: str) -> str | None:
        if name not in self._dead:
            return None
        self._dead.remove(name)
        return f"{name} was started again (process {pid})"


class LogFollower:
    """Reads what is appended to a file, also across a rotation."""

    def __init__(self, path: Path, *, from_start: bool = False) -> None:
        self._path = path
        self._inode, self._offset = (0, 0) if from_start else self._end()
        self._rest = ""

    def new_lines(self) -> list[str]:
        """Return the complete lines written since the last call."""
        inode, size = self._end()
        if inode != self._inode or size < self._offset:
            self._inode, self._offset, self._rest = inode, 0, ""
        if size == self._offset:
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            content = file.read()
        self._offset += len(content)
        *lines, self._rest = (self._rest + content.decode(errors="replace")).split("\n")
        return lines

    def _end(self) -> tuple[int, int]:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return 0, 0
        return status.st_ino, status.st_size
