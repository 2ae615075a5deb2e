"""How a failure travels:

a code, a sentence, and whether trying again can help. No HTTP number: those belong to dialects.
"""

from __future__ import annotations

from gridloom_contract.base import GrowingEnum, Value


class FaultCode(GrowingEnum):
    """Every kind of failure a caller or a job can meet. Each dialect has a table that covers all of them."""

    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    INVALID = "invalid"
    UNKNOWN_MODEL = "unknown_model"
    NO_CAPACITY = "no_capacity"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    CONFLICT = "conflict"
    TOO_LARGE = "too_large"
    UNSUPPORTED_MEDIA = "unsupported_media"
    RATE_LIMITED = "rate_limited"
    REQUEST_TIMEOUT = "request_timeout"
    UNAVAILABLE = "unavailable"
    UPSTREAM = "upstream"
    BAD_OUTPUT = "bad_output"
    WORKER_LOST = "worker_lost"
    INTERNAL = "internal"
    UNKNOWN = "unknown"


class Fault(Value, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong. `field` names the offending input; `retry_after_seconds` is set where waiting helps."""

    code: FaultCode
    message: str
    field: str | None = None
    retry_after_seconds: float | None = None
    retryable: bool = False


class FaultError(Exception):
    """Raised where a fault ends the work at hand; the bus carries it to the caller unchanged."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"{fault.code}: {fault.message}")
        self.fault = fault
