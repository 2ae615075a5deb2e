"""Which gateways follow a job that this replica may see end: they are told then, and need not ask.

Only in memory. What is forgotten, or ends at another replica, is still told by the facts, after which gateways ask.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

_MOST: Final = 20_000


class Followed:
    """Remembers who asked last of which job, of so many jobs."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._gateways: dict[str, set[str]] = {}

    def note(self, job: str, gateway: str) -> None:
        """Remember that a gateway follows the job."""
        if job not in self._gateways and len(self._gateways) >= self._most:
            del self._gateways[next(iter(self._gateways))]
        self._gateways.setdefault(job, set()).add(gateway)

    def forget(self, job: str, gateway: str) -> None:
        """Forget that a gateway follows the job: it knows the end, or there is none for it."""
        if job in self._gateways:
            self._gateways[job].discard(gateway)
            if not self._gateways[job]:
                del self._gateways[job]

    def take(self, job: str) -> Collection[str]:
        """Return who follows a job that has ended, and forget them."""
        return self._gateways.pop(job, ())
