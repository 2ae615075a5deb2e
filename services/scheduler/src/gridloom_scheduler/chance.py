"""What decisions take beside the jobs: time, ids and fair time, as one argument."""

from __future__ import annotations

from dataclasses import dataclass, field
from secrets import token_hex

from gridloom_kit.clock import Clock, SystemClock
from gridloom_scheduler.rules.changes import Ids, Moment
from gridloom_scheduler.rules.fairness import FairTime


class RandomIds:
    """Chance from the operating system."""

    def token(self) -> str:
        """Return 128 random bits as 32 hexadecimal digits."""
        return token_hex(16)


@dataclass(frozen=True)
class Chance:
    """Time, ids and fair time."""

    clock: Clock = field(default_factory=SystemClock)
    ids: Ids = field(default_factory=RandomIds)
    fair: FairTime = field(default_factory=FairTime)

    def moment(self) -> Moment:
        """Return now, with a new id for the change that happens now."""
        return Moment(self.clock.now(), self.ids.token())
