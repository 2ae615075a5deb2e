"""What decisions take beside the jobs: time, ids and fair time, as one argument."""

from __future__ import annotations

from dataclasses import dataclass, field
from secrets import token_bytes

from gridloom_kit.clock import Clock, SystemClock
from gridloom_scheduler.rules.changes import Ids, Moment
from gridloom_scheduler.rules.fairness import FairTime

_TOKEN_BYTES = 16
_TOKENS_AT_ONCE = 256


class RandomIds:
    """Chance from the operating system, asked for in large pieces: a job takes several tokens."""

    def __init__(self) -> None:
        self._tokens: list[str] = []

    def token(self) -> str:
        """Return 128 random bits as 32 hexadecimal digits."""
        if not self._tokens:
            pool = token_bytes(_TOKEN_BYTES * _TOKENS_AT_ONCE)
            self._tokens = [pool[at : at + _TOKEN_BYTES].hex() for at in range(0, len(pool), _TOKEN_BYTES)]
        return self._tokens.pop()


@dataclass(frozen=True)
class Chance:
    """Time, ids and fair time."""

    clock: Clock = field(default_factory=SystemClock)
    ids: Ids = field(default_factory=RandomIds)
    fair: FairTime = field(default_factory=FairTime)

    def moment(self) -> Moment:
        """Return now, with a new id for the change that happens now."""
        return Moment(self.clock.now(), self.ids.token())
