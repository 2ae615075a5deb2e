"""What can go wrong with a request or a job, as one small tree. A code, never an HTTP status: those live in dialects.

FaultError                       what the bus carries (gridloom_contract.fault)
└── GridError                    raised by our own rules; each class fixes the code
    ├── Unauthenticated          no key, or one that is not valid
    ├── Forbidden                a valid key that may not do this
    ├── Invalid                  the request itself is wrong; names the field
    │   ├── UnknownModel         no worker ever offered this model
    │   ├── MethodNotAllowed     the path exists, not with this method
    │   ├── TooLarge             more bytes than the limit
    │   └── UnsupportedMedia     a body of a type or encoding nobody reads
    ├── NotFound                 no such thing, or not this account's: the two look alike on purpose
    ├── Conflict                 it exists, but its state forbids this
    └── TryLater                 the same request may succeed later
        ├── RateLimited          too many requests of this key
        ├── NoCapacity           nobody serves the model now
        ├── RequestTimeout       the client was too slow to send, or the answer did not come in time
        ├── Unavailable          a part of the grid does not answer
        ├── Upstream             the engine failed
        └── Internal             a bug of ours
"""

from __future__ import annotations

from typing import ClassVar

from gridloom_contract.fault import Fault, FaultCode, FaultError


class GridError(FaultError):
    """A failure with the code of its class; `field` names the offending input, `retry_after_seconds` when to return."""

    code: ClassVar[FaultCode]
    is_retryable: ClassVar[bool] = False

    def __init__(self, message: str, field: str | None = None, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(
            Fault(
                code=self.code,
                message=message,
                field=field,
                retry_after_seconds=retry_after_seconds,
                retryable=self.is_retryable,
            )
        )


class Unauthenticated(GridError):
    """No key was presented, or one that is not valid."""

    code = FaultCode.UNAUTHENTICATED


class Forbidden(GridError):
    """The key is valid and may not do this."""

    code = FaultCode.FORBIDDEN


class Invalid(GridError):
    """The request is wrong and stays wrong until the caller changes it."""

    code = FaultCode.INVALID


class UnknownModel(Invalid):
    """No worker ever offered this model."""

    code = FaultCode.UNKNOWN_MODEL


class MethodNotAllowed(Invalid):
    """The path exists, but not with this method."""

    code = FaultCode.METHOD_NOT_ALLOWED


class TooLarge(Invalid):
    """The body, a header or a part of the input is larger than its limit."""

    code = FaultCode.TOO_LARGE


class UnsupportedMedia(Invalid):
    """The body is of a type or encoding that this path does not read."""

    code = FaultCode.UNSUPPORTED_MEDIA


class NotFound(GridError):
    """There is no such thing, or it belongs to another account; nobody can tell which."""

    code = FaultCode.NOT_FOUND


class Conflict(GridError):
    """The thing exists, but the state it is in forbids this."""

    code = FaultCode.CONFLICT


class TryLater(GridError):
    """Not the caller's fault: the same request may succeed later. Never raised itself."""

    is_retryable = True


class RateLimited(TryLater):
    """Too many requests of this key; `retry_after_seconds` says when the next one is welcome."""

    code = FaultCode.RATE_LIMITED


class NoCapacity(TryLater):
    """The model is known, and no worker serves it now."""

    code = FaultCode.NO_CAPACITY


class RequestTimeout(TryLater):
    """The client was too slow to send its request, or the answer did not come in time."""

    code = FaultCode.REQUEST_TIMEOUT


class Unavailable(TryLater):
    """A part of the grid does not answer."""

    code = FaultCode.UNAVAILABLE


class Upstream(TryLater):
    """The engine behind the worker failed."""

    code = FaultCode.UPSTREAM


class Internal(TryLater):
    """A bug of ours. The message is safe to show; the cause is in the log."""

    code = FaultCode.INTERNAL
