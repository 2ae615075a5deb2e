"""Logs are JSON events on standard output, with the ids of the work at hand bound once.

Never log a prompt, an answer, a key or a presigned URL; what looks like a secret is blacked out all the same.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from gridloom_kit.trace import current_traceparent

_SECRET_FIELDS = frozenset(
    {"password", "secret", "token", "key", "api_key", "authorization", "prompt", "output", "text"}
)
_SECRET_TEXT = re.compile(r"gl[mw]_[A-Za-z0-9]{6,}_\w+|whsec_\S+|X-Amz-Signature=\w+|Bearer \S+", re.IGNORECASE)
_HIDDEN = "[hidden]"


def configure(service: str, level: str) -> None:
    """Send every log line of this process, the libraries' too, to standard output as JSON.

    Raises ValueError for an unknown level.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"log level {level!r} is unknown: use debug, info, warning or error")
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        _add_trace,
        structlog.processors.format_exc_info,
        _redact,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(serializer=orjson.dumps)],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    _adopt_libraries(shared, number)


def get_logger() -> FilteringBoundLogger:
    """Return the logger: `log.info("noun.verb", field=value)`."""
    logger: FilteringBoundLogger = structlog.get_logger()
    return logger


def bind(**ids: str | int | None) -> None:
    """Add ids (job, request, worker, attempt) to every later line of this task."""
    structlog.contextvars.bind_contextvars(**ids)


def redact(text: str) -> str:
    """Return `text` with everything that looks like a secret blacked out."""
    return _SECRET_TEXT.sub(_HIDDEN, text)


def _redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for name, value in event.items():
        if name in _SECRET_FIELDS:
            event[name] = _HIDDEN
        elif isinstance(value, str) and _may_hide_something(value):
            event[name] = redact(value)
    return event


def _may_hide_something(text: str) -> bool:
    """Whether it has what each secret has somewhere: most texts of a log line are ids, and need no closer look."""
    return "_" in text or "=" in text or " " in text


def _add_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    traceparent = current_traceparent()
    if traceparent:
        event["trace_id"] = traceparent[3:35]
    return event


def _adopt_libraries(shared: list[Any], number: int) -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=lambda value, **_: orjson.dumps(value).decode()),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.WARNING))
