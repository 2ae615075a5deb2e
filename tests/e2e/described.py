"""The served OpenAPI document as a list of calls: each route with its path parameters and a body that it accepts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_PARAMETER = re.compile(r"\{(\w+)\}")
_ALIASES = re.compile(r"`(/[^`]+)` is also served at ([^.]+)\.")
_JSON = "application/json"


@dataclass(frozen=True)
class Call:
    """One operation. `names` are its path parameters; `is_for_accounts` says whose key it takes.

    `query` and `fields` are what its query and its body may hold.
    """

    method: str
    path: str
    names: tuple[str, ...]
    is_for_accounts: bool
    body: Any
    query: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()

    def with_ids(self, ids: dict[str, str]) -> str:
        """Return the path with its parameters filled in. Raises KeyError for one that the test does not know."""
        return self.path.format(**{name: ids[name] for name in self.names})


def calls_in(document: dict[str, Any]) -> list[Call]:
    """Return every operation that takes a key and can succeed, at every place where it is served."""
    return [
        call
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if operation["security"] and any(status.startswith("2") for status in operation["responses"])
        for call in _calls(document, path, method, operation)
    ]


def _calls(document: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> list[Call]:
    names = tuple(_PARAMETER.findall(path))
    security = [kind for choice in operation["security"] for kind in choice]
    query = tuple(each["name"] for each in operation["parameters"] if each["in"] == "query")
    body, fields = _body(document, operation), _fields(document, operation)
    return [
        Call(method.upper(), place, names, "apiKey" in security, body, query, fields)
        for place in _places(document, path)
    ]


def _places(document: dict[str, Any], path: str) -> list[str]:
    """A mount may have aliases; they are told in the description, one sentence a mount."""
    places = [path]
    for mount, aliases in _ALIASES.findall(document["info"]["description"]):
        if path.startswith(f"{mount}/"):
            places += [alias.strip(" `") + path.removeprefix(mount) for alias in aliases.split(",")]
    return places


def _body(document: dict[str, Any], operation: dict[str, Any]) -> Any:
    if "requestBody" not in operation:
        return None
    content = operation["requestBody"]["content"]
    return example_of(document, content[_JSON]["schema"]) if _JSON in content else None


def _fields(document: dict[str, Any], operation: dict[str, Any]) -> tuple[str, ...]:
    if "requestBody" not in operation:
        return ()
    [content] = operation["requestBody"]["content"].values()
    reference = content["schema"]["$ref"]
    return tuple(document["components"]["schemas"][reference.rsplit("/", 1)[1]]["properties"])


def example_of(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    """Return the least that a schema accepts."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return example_of(document, document["components"]["schemas"][name])
    for words in ("examples", "enum", "anyOf"):
        if words in schema:
            first = schema[words][0]
            return example_of(document, first) if words == "anyOf" else first
    if schema.get("type") == "object":
        wanted = schema.get("required", ())
        return {name: example_of(document, schema["properties"][name]) for name in wanted}
    return _LEAST[schema["type"]](schema)


_LEAST = {
    "string": lambda schema: "x" * max(1, schema.get("minLength", 1)),
    "integer": lambda schema: max(1, schema.get("minimum", 1)),
    "number": lambda schema: max(1.0, schema.get("minimum", 1.0)),
    "boolean": lambda _schema: True,
    "array": lambda _schema: [],
}
