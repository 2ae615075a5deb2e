"""The quota service's settings: `GRIDLOOM_QUOTA_<FIELD>`. Each says its unit and why it is what it is."""

from __future__ import annotations

from gridloom_kit.settings import ServiceSettings


class Settings(ServiceSettings, frozen=True, kw_only=True):
    """What an operator may choose."""

    mongo_url: str
    """Where the record is, with the quota service's own user."""

    mongo_database: str = "gridloom"
    """The database of `plans`, `quota_accounts`, `grants`, `reservations` and `rate_windows`."""

    grant_tokens: int = 50_000
    """The largest grant beyond what is needed at once: a scheduler seldom asks, and little lies idle in its hands."""

    grant_seconds: float = 30.0
    """How long a grant may be reserved from: what a dead scheduler held comes back this long after, plus the grace."""

    grant_grace_seconds: float = 35.0
    """How long after a grant's end late facts still find their tokens: longer than it takes until a fact is told again
    that died with a replica of this service (30 s)."""

    unlimited_seconds: float = 10.0
    """How long a scheduler may believe that an account has no limits, should it miss that its plan changed."""

    transit_seconds: float = 3600.0
    """How long tokens that a scheduler says it has spent are kept for the facts that will say so too."""

    reservation_seconds: float = 86_400.0
    """After this long a reservation whose end was never heard of is released; no job runs for a day."""

    lapse_check_seconds: float = 30.0
    """How often such reservations are looked for: they are a sign of something broken, not of every day."""

    history_seconds: float = 1_296_000.0
    """How long ended reservations are remembered, so that a fact told twice counts once: facts live half as long."""
