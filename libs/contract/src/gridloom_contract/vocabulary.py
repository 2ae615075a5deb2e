"""The words that jobs, events and work orders share."""

from __future__ import annotations

from gridloom_contract.base import GrowingEnum, Value


class State(GrowingEnum):
    """The seven states of a job (seeds/000, /003 and /004 folded into one). The last three are terminal."""

    HELD = "held"
    QUEUED = "queued"
    CLAIMED = "claimed"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    UNKNOWN = "unknown"


class Kind(GrowingEnum):
    """What an engine is asked to do."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDING = "embedding"
    UNKNOWN = "unknown"


class Match(GrowingEnum):
    """How strictly the model's name binds: this very model, or any of its family (the text before `:`)."""

    EXACT = "exact"
    FAMILY = "family"
    UNKNOWN = "unknown"


class Usage(Value, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens of one job. `estimated` says that the engine did not count them itself."""

    tokens_in: int
    tokens_out: int
    estimated: bool = False
