"""The JetStream streams and buckets: what each keeps, and why so. The scheduler creates them and nobody else."""

from __future__ import annotations

from typing import Any

from gridloom_contract.base import Value

LANES = ("high", "normal", "low")
"""The lanes in the order in which a worker takes them."""

WORK_STREAMS = {lane: f"WORK_{lane.upper()}" for lane in LANES}
EVENTS = "EVENTS"
ATOMIC_SUBJECTS = ("event.",)
"""Messages with these roots may be stored as atomic batches: their streams have `allow_atomic`."""
TOKENS = "TOKENS"
SHARD_BUCKET = "SHARDS"
SHARD_LEASE_SECONDS = 2.0
"""How long a scheduler replica keeps a shard without renewing it; a takeover takes at most about this long."""

_NANOSECONDS = 1_000_000_000
_DAY_SECONDS = 86_400


class Stream(Value, frozen=True, kw_only=True, omit_defaults=True):
    """A stream as JetStream's own configuration, field by field. `duplicate_window` and `max_age` are nanoseconds.

    What is in one that `is_rebuilt` follows from MongoDB and is sent again once the stream is seen to be new. So it may
    be made anew to become what is written here; any other is only ever updated, and keeps what it has.
    """

    name: str
    config: dict[str, Any]
    is_rebuilt: bool = False


def _work(lane: str) -> Stream:
    """One order a subject: a job released twice is refused while the first order is there. Consumers are one a worker.

    In memory: an order lives for a moment, whoever waits for a chat waits for it, and on a disk it would be synced when
    it comes and when it goes. A server that starts anew has forgotten it; the scheduler has not, and sends it again.
    """
    return Stream(
        name=WORK_STREAMS[lane],
        is_rebuilt=True,
        config={
            "subjects": [f"work.{lane}.>"],
            "retention": "workqueue",
            "storage": "memory",
            "discard": "new",
            "discard_new_per_subject": True,
            "max_msgs_per_subject": 1,
            "max_consumers": 5000,
        },
    )


STREAMS: tuple[Stream, ...] = (
    *(_work(lane) for lane in LANES),
    # Facts stay a week: a consumer that was down that long catches up from MongoDB instead.
    Stream(
        name=EVENTS,
        config={
            "subjects": ["event.>"],
            "retention": "limits",
            "storage": "file",
            "discard": "old",
            "max_age": 7 * _DAY_SECONDS * _NANOSECONDS,
            "allow_atomic": True,
            "duplicate_window": 120 * _NANOSECONDS,
        },
    ),
    # Tokens are a convenience (the result has the whole text), so: memory, no acknowledgement, ten minutes.
    Stream(
        name=TOKENS,
        config={
            "subjects": ["tok.*.*"],
            "retention": "limits",
            "storage": "memory",
            "discard": "old",
            "no_ack": True,
            "allow_direct": True,
            "max_age": 600 * _NANOSECONDS,
            "max_bytes": 256 * 1024 * 1024,
            "republish": {"src": "tok.*.*", "dest": "live.{{wildcard(2)}}"},
        },
    ),
    # A key is a lease: it vanishes by age unless renewed, so a dead replica needs no one to clean up after it.
    Stream(
        name=f"KV_{SHARD_BUCKET}",
        config={
            "subjects": [f"$KV.{SHARD_BUCKET}.>"],
            "retention": "limits",
            "storage": "memory",
            "discard": "new",
            "allow_rollup_hdrs": True,
            "deny_delete": True,
            "allow_direct": True,
            "max_msgs_per_subject": 1,
            "max_age": int(SHARD_LEASE_SECONDS * _NANOSECONDS),
            "duplicate_window": int(SHARD_LEASE_SECONDS * _NANOSECONDS),
        },
    ),
)
