"""The one error of the `gridloom` command: what was wrong, what to do about it, and the exit code it ends with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gridloom_local.loglines import tail

FAILED = 1
"""Something did not work."""
NOT_REACHABLE = 3
"""No stack runs here, or the gateway does not answer."""
REFUSED = 4
"""The gateway refused the request."""
JOB_NOT_SUCCEEDED = 5
"""The job that was watched failed or was canceled."""


class Problem(Exception):
    """A failure as its user reads it. `log` names the file whose last lines belong to it."""

    def __init__(self, message: str, *, remedy: str = "", log: Path | None = None, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.log = log
        self.exit_code = exit_code

    def render(self) -> str:
        """Return the whole report: the problem, the end of the log, which log to read, and what to do."""
        parts = [f"error: {self.message}"]
        if self.log is not None:
            parts += [f"  | {line}" for line in tail(self.log)]
            parts.append(f"read the whole log: {self.log}")
        if self.remedy:
            parts.append(f"what to do: {self.remedy}")
        return "\n".join(parts)


@contextmanager
def blaming(log: Path) -> Iterator[None]:
    """Let a Problem raised inside name `log` as the one to read, unless it names one already."""
    try:
        yield
    except Problem as problem:
        problem.log = problem.log or log
        raise
