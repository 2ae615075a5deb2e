"""The scheduler's settings: `GRIDLOOM_SCHEDULER_<FIELD>`. Each says its unit and why it is what it is."""

from __future__ import annotations

import hashlib
import hmac

from gridloom_kit.settings import ServiceSettings


class Settings(ServiceSettings, frozen=True, kw_only=True):
    """What an operator may choose."""

    mongo_url: str
    """Where the record is, with the scheduler's own user."""

    mongo_database: str = "gridloom"
    """The database of `jobs`, `workers` and `models`."""

    callout_user: str = "callout"
    callout_password: str = ""
    """The NATS user of the auth callout, in its own account."""

    callout_seed: str
    """The nkey account seed that signs the callout's answers; the server trusts its public key."""

    system_user: str = "sys"
    system_password: str = ""
    """The NATS user of the system account: ends the connection of a revoked worker."""

    worker_pepper: str = ""
    """Secret under which worker tokens are hashed. Empty: derived from `callout_seed`; both are kept or lost then."""

    worker_session_seconds: float = 43_200.0
    """How long a worker's connection is good for before it must show its token again."""

    heartbeat_seconds: float = 1.0
    """How often workers report that they live: a thousand of them cost a few percent of a core."""

    lease_seconds: float = 5.0
    """How long a worker may be silent before its jobs go to others: a few heartbeats, so a hiccup costs nothing."""

    prefetch_below_seconds: float = 1.0
    """A worker with shorter jobs gets one more than it has slots, which hides the way to it; long jobs would wait."""

    files_hold_seconds: float = 900.0
    """How long a job that is to get files waits for them: as long as their uploads may take."""

    submit_hold_seconds: float = 2.0
    """How long a job that may get a file waits, if its model takes images, for a slot to be made; 0 does not wait."""

    foretell_ends: bool = True
    """Whether who waits on the line has the answer while the job's end is being journaled. False: only after it."""

    stream_replicas: int = 1
    """Copies of each stream in a NATS cluster: 3 there, 1 on a single server."""

    @property
    def pepper(self) -> str:
        """The secret under which worker tokens are hashed."""
        if self.worker_pepper:
            return self.worker_pepper
        return hmac.new(self.callout_seed.encode(), b"worker tokens", hashlib.sha256).hexdigest()

    @property
    def lease_secret(self) -> bytes:
        """The secret of which the tokens of leases are made."""
        return hmac.digest(self.pepper.encode(), b"leases", "sha256")
