"""OpenAPI 3.1, generated from the route tables and the Structs that serve them: it says what they do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from gridloom_contract.fault import FaultCode
from gridloom_gateway import idempotency
from gridloom_gateway.route import EVENT_STREAM, JSON, Audience, Dialect, Route

Document = dict[str, Any]

_REF: Final = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"\{(\w+)\}")
_EVERY_ACCOUNT_CALL: Final = (
    FaultCode.UNAUTHENTICATED,
    FaultCode.FORBIDDEN,
    FaultCode.RATE_LIMITED,
    FaultCode.UNAVAILABLE,
    FaultCode.INTERNAL,
)
_KEYED: Final = (FaultCode.INVALID, FaultCode.CONFLICT, FaultCode.TOO_LARGE, FaultCode.REQUEST_TIMEOUT)
"""What an `Idempotency-Key` adds: the body is read, whatever the route does with it."""
_PRINTABLE: Final = "^[ -~]*$"
_TEXT: Final = {"type": "string"}
_EVENT: Final = {
    "type": "object",
    "description": "Each event of the stream.",
    "properties": {
        "event": {"type": "string"},
        "id": {"type": "string", "description": "Where a reader is: send the last one as `Last-Event-ID`."},
        "data": {"type": "string", "contentMediaType": JSON},
        "retry": {"type": "integer", "description": "Milliseconds to wait before reconnecting."},
    },
}
_ACCEPTED: Final = "202"
_SECURITY: Final[dict[Audience, list[Document]]] = {
    Audience.ACCOUNT: [{"apiKey": []}],
    Audience.ADMIN: [{"adminKey": []}],
    Audience.ANYONE: [],
}
_SCHEMES: Final = {
    "apiKey": {"type": "http", "scheme": "bearer", "description": "An account's key: `glm_…`."},
    "adminKey": {"type": "http", "scheme": "bearer", "description": "The operator's key."},
}


def describe(dialects: Sequence[Dialect], version: str, server: str = "/") -> Document:
    """Return the document for the canonical mounts of all dialects."""
    types = _types_of(dialects)
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    refs = {id(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    paths: dict[str, Document] = {}
    for dialect in dialects:
        for route in dialect.routes:
            operation = _operation(dialect, route, refs, components)
            paths.setdefault("".join(dialect.mounts[:1]) + route.shown_path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Gridloom", "version": version, "description": _aliases(dialects)},
        "servers": [{"url": server}],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _SCHEMES},
    }


def describe_one(dialect: Dialect, version: str, server: str) -> Document:
    """Return the document for one dialect as it is served at `server`."""
    document = describe((replace(dialect, mounts=("",)),), version, server)
    return {**document, "info": {"title": f"Gridloom: {dialect.name}", "version": version}}


def _types_of(dialects: Sequence[Dialect]) -> list[Any]:
    found: list[Any] = []
    for dialect in dialects:
        bodies = [kind for route in dialect.routes for kind in _bodies_of(route)]
        found += [kind for kind in (dialect.error, *bodies) if kind is not None and kind not in found]
    return found


def _bodies_of(route: Route) -> tuple[Any, ...]:
    return route.request, route.query, route.response, route.accepted


def _operation(dialect: Dialect, route: Route, refs: dict[int, Any], components: Document) -> Document:
    operation: Document = {
        "operationId": _operation_id(dialect, route),
        "summary": route.summary,
        "tags": [dialect.name],
        "security": _SECURITY[dialect.audience],
        "parameters": [
            *_path_parameters(route),
            *_query_parameters(route, refs, components),
            *_header_parameters(dialect, route),
        ],
        "responses": _responses(dialect, route, refs),
    }
    if route.request is not None:
        content = {route.takes: {"schema": refs[id(route.request)]}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _responses(dialect: Dialect, route: Route, refs: dict[int, Any]) -> Document:
    success, errors = str(route.status), _errors(dialect, route, refs)
    found = {**errors, success: _success(route, refs) | _links(dialect, route)}
    if success in errors:  # an API may tell success from failure in the body alone
        content = found[success]["content"][route.media]
        content["schema"] = {"anyOf": [content["schema"], errors[success]["content"][JSON]["schema"]]}
    if route.accepted is not None:
        found[_ACCEPTED] = {"description": "Later", "content": {JSON: {"schema": refs[id(route.accepted)]}}}
    return dict(sorted(found.items()))


def _operation_id(dialect: Dialect, route: Route) -> str:
    word = re.sub(r"\W+", "_", f"{route.method.lower()}{route.shown_path}").strip("_")
    return f"{dialect.name}_{word}"


def _path_parameters(route: Route) -> list[Document]:
    names = _PARAMETER.findall(route.shown_path)
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _query_parameters(route: Route, refs: dict[int, Any], components: Document) -> list[Document]:
    if route.query is None:
        return []
    name = str(refs[id(route.query)]["$ref"]).rsplit("/", 1)[1]
    schema = components[name]
    required = schema.get("required", ())
    return [
        {"name": field, "in": "query", "required": field in required, "schema": _without_null(shape)}
        for field, shape in schema["properties"].items()
    ]


def _header_parameters(dialect: Dialect, route: Route) -> list[Document]:
    if not idempotency.is_minded(dialect, route):
        return []
    schema = {"type": "string", "minLength": 1, "maxLength": idempotency.MAX_KEY_CHARACTERS, "pattern": _PRINTABLE}
    text = "The same key and request, sent again within 24 hours, do their work once and get the same answer."
    return [{"name": idempotency.HEADER, "in": "header", "required": False, "schema": schema, "description": text}]


def _without_null(shape: Document) -> Document:
    """A query parameter is there or it is not; it is never null."""
    choices = [choice for choice in shape.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1:
        return dict(choices[0])
    kept = {key: value for key, value in shape.items() if not (key == "default" and value is None)}
    if "enum" in kept:
        kept["enum"] = [value for value in kept["enum"] if value is not None]
    return kept


def _success(route: Route, refs: dict[int, Any]) -> Document:
    first = _EVENT if route.media == EVENT_STREAM else refs[id(route.response)]
    others = {media: _EVENT if media == EVENT_STREAM else _TEXT for media in route.also_as}
    content = {media: {"schema": schema} for media, schema in {route.media: first, **others}.items()}
    return {"description": route.summary, "content": content}


def _links(dialect: Dialect, route: Route) -> Document:
    """Tell where the answer leads: which operations take what it names."""
    found = {
        _operation_id(dialect, other): {
            "operationId": _operation_id(dialect, other),
            "parameters": {name: f"$response.body#/{pointer}"},
        }
        for name, pointer in route.gives
        for other in dialect.routes
        if name in _PARAMETER.findall(other.shown_path)
    }
    return {"links": found} if found else {}


def _errors(dialect: Dialect, route: Route, refs: dict[int, Any]) -> Document:
    if dialect.error is None:
        return {}
    codes = (*_EVERY_ACCOUNT_CALL, *route.faults, *(_KEYED if idempotency.is_minded(dialect, route) else ()))
    statuses: dict[str, list[str]] = {}
    for code in codes:
        statuses.setdefault(str(dialect.statuses[code]), []).append(str(code))
    if route.request is not None and dialect.malformed_status is not None:
        statuses[str(dialect.malformed_status)] = ["malformed"]
    content = {JSON: {"schema": refs[id(dialect.error)]}}
    return {
        status: {"description": ", ".join(dict.fromkeys(words)), "content": content}
        for status, words in sorted(statuses.items())
    }


def _aliases(dialects: Sequence[Dialect]) -> str:
    return " ".join(
        f"`{dialect.mounts[0]}` is also served at {', '.join(f'`{mount}`' for mount in dialect.mounts[1:])}."
        for dialect in dialects
        if len(dialect.mounts) > 1
    )
