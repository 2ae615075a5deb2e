"""What each API answers when something is wrong: the status, the word if it has one, and the fields of the body."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

SHAPES: dict[str, Callable[[Any], tuple[Any, ...]]] = {
    "native": lambda body: (body["error"], *sorted(body.keys() - {"field"})),
    "openai": lambda body: (body["error"]["type"], *sorted(body), *sorted(body["error"])),
    "remotejobs": lambda body: (body["success"], *sorted(body)),
    "infernet": lambda body: (body["error"], *sorted(body)),
}
IN_NATIVE = ("error", "message", "request_id")
IN_OPENAI = ("detail", "error", "code", "message", "param", "type")
IN_REMOTEJOBS = ("error", "success")
IN_INFERNET = ("error", "error_message")
FAILURES: dict[str, dict[str, tuple[int, tuple[Any, ...]]]] = {
    "native": {
        "no key": (401, ("unauthenticated", *IN_NATIVE)),
        "no route": (404, ("not_found", *IN_NATIVE)),
        "no job": (404, ("not_found", *IN_NATIVE)),
        "wrong method": (405, ("method_not_allowed", *IN_NATIVE)),
        "no JSON": (400, ("malformed", *IN_NATIVE)),
        "wrong field": (422, ("invalid", *IN_NATIVE)),
        "no model": (422, ("unknown_model", *IN_NATIVE)),
        "large": (413, ("too_large", *IN_NATIVE)),
        "packed": (415, ("unsupported_media", *IN_NATIVE)),
        "too many": (429, ("rate_limited", *IN_NATIVE)),
    },
    "openai": {
        "no key": (401, ("not_authenticated", *IN_OPENAI)),
        "no route": (404, ("not_found", *IN_OPENAI)),
        "no job": (404, ("not_found", *IN_OPENAI)),
        "wrong method": (405, ("method_not_allowed", *IN_OPENAI)),
        "no JSON": (400, ("invalid_request", *IN_OPENAI)),
        "wrong field": (400, ("invalid_request", *IN_OPENAI)),
        "no model": (404, ("no_provider", *IN_OPENAI)),
        "large": (413, ("file_too_large", *IN_OPENAI)),
        "packed": (415, ("unsupported_media_type", *IN_OPENAI)),
        "too many": (429, ("rate_limit_exceeded", *IN_OPENAI)),
    },
    "remotejobs": {
        "no key": (401, (False, *IN_REMOTEJOBS)),
        "no route": (404, (False, *IN_REMOTEJOBS)),
        "no job": (404, (False, *IN_REMOTEJOBS)),
        "wrong method": (405, (False, *IN_REMOTEJOBS)),
        "no JSON": (200, (False, *IN_REMOTEJOBS)),
        "wrong field": (200, (False, *IN_REMOTEJOBS)),
        "no model": (200, (False, *IN_REMOTEJOBS)),
        "large": (413, (False, *IN_REMOTEJOBS)),
        "packed": (415, (False, *IN_REMOTEJOBS)),
        "too many": (429, (False, *IN_REMOTEJOBS)),
    },
    "infernet": {
        "no key": (401, ("unauthorized", *IN_INFERNET)),
        "no route": (404, ("not_found", *IN_INFERNET)),
        "no job": (404, ("job_not_found", *IN_INFERNET)),
        "wrong method": (405, ("method_not_allowed", *IN_INFERNET)),
        "no JSON": (400, ("bad_request", *IN_INFERNET)),
        "wrong field": (400, ("bad_request", *IN_INFERNET)),
        "no model": (404, ("model_not_found", *IN_INFERNET)),
        "large": (413, ("too_large", *IN_INFERNET)),
        "packed": (415, ("unsupported_media_type", *IN_INFERNET)),
        "too many": (429, ("rate_limited", *IN_INFERNET)),
    },
}
