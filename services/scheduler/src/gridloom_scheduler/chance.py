"""What decisions take beside the jobs: time, ids, tokens and fair time, as one argument."""

from __future__ import annotations

import hmac
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


class LeaseTokens:
    """The secret of each lease: 128 bits, for one attempt of an account's job at one worker always the same.

    So the order of a claim that was not stored is the order of the claim that is stored when it is tried again.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def of(self, account: str, job: str, attempt: int, worker: str) -> str:
        """Return the token as 32 hexadecimal digits."""
        told = f"{account}:{job}:{attempt}:{worker}".encode()
        return hmac.digest(self._secret, told, "sha256")[:_TOKEN_BYTES].hex()


def _any_leases() -> LeaseTokens:
    return LeaseTokens(token_bytes(_TOKEN_BYTES))


@dataclass(frozen=True)
class Chance:
    """Time, ids and fair time, and the tokens of leases."""

    clock: Clock = field(default_factory=SystemClock)
    ids: Ids = field(default_factory=RandomIds)
    fair: FairTime = field(default_factory=FairTime)
    leases: LeaseTokens = field(default_factory=_any_leases)

    def moment(self) -> Moment:
        """Return now, with a new id for the change that happens now."""
        return Moment(self.clock.now(), self.ids.token())
