"""Values that the synthetic engine makes up: always the same ones for the same question, and of the shape asked for."""

from __future__ import annotations

import struct
from binascii import b2a_base64
from hashlib import shake_256
from math import sqrt
from typing import Any

USUAL_DIMENSIONS = 32
_MOST_DIMENSIONS = 4096
_DEEPEST = 8


def example_of(schema: Any, root: Any = None, depth: int = 0) -> Any:
    """Return a value that satisfies a JSON schema of the kind that clients derive from their types."""
    root = schema if root is None else root
    schema = _resolved(schema, root)
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return "thread"
    if "const" in schema or schema.get("enum"):
        return schema.get("const", (schema.get("enum") or [None])[0])
    if schema.get("type") == "object" or "properties" in schema:
        fields = schema.get("properties") or {}
        return {name: example_of(field, root, depth + 1) for name, field in fields.items()}
    if schema.get("type") == "array":
        item = example_of(schema.get("items", {}), root, depth + 1)
        return [item] * max(1, int(schema.get("minItems", 1)))
    return _simple(schema)


def _resolved(schema: Any, root: Any) -> Any:
    """Follow references and the first of several possibilities that is not null."""
    for _ in range(_DEEPEST):
        if not isinstance(schema, dict):
            break
        choices = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
        if isinstance(schema.get("$ref"), str):
            schema = _at(schema["$ref"], root)
        elif isinstance(choices, list):
            schema = next((one for one in choices if isinstance(one, dict) and one.get("type") != "null"), {})
        else:
            break
    return schema


def _at(reference: str, root: Any) -> Any:
    place = root
    for step in reference.removeprefix("#/").split("/"):
        place = place.get(step, {}) if isinstance(place, dict) else {}
    return place


def _simple(schema: dict[str, Any]) -> Any:
    kind = schema.get("type")
    kind = next((one for one in kind if one != "null"), None) if isinstance(kind, list) else kind
    least = schema.get("minimum", schema.get("exclusiveMinimum", 6) + 1)
    values = {"integer": int(least), "number": least + 0.5, "boolean": True, "null": None}
    return values.get(str(kind), "thread".ljust(int(schema.get("minLength", 0)), "s"))


def embeddings_of(wish: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a request for embeddings."""
    inputs = _inputs(wish.get("input"))
    wanted = wish.get("dimensions")
    size = min(wanted, _MOST_DIMENSIONS) if isinstance(wanted, int) and wanted > 0 else USUAL_DIMENSIONS
    is_packed = wish.get("encoding_format") != "float"
    vectors = [vector_of(one, size) for one in inputs]
    data = [
        {"object": "embedding", "index": index, "embedding": packed(vector) if is_packed else vector}
        for index, vector in enumerate(vectors)
    ]
    tokens = sum(len(one) if isinstance(one, list) else len(one.split()) for one in inputs)
    return {"data": data, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


def vector_of(what: str | list[int], size: int) -> list[float]:
    """Return the unit vector of a text, or of a text in tokens."""
    noise = shake_256(repr(what).encode(errors="replace")).digest(2 * size)
    values = [value / 32_768 for value in struct.unpack(f"<{size}h", noise)]
    length = sqrt(sum(value * value for value in values)) or 1.0
    return [value / length for value in values]


def packed(vector: list[float]) -> str:
    """Return a vector as OpenAI packs it: little-endian float32 in base64."""
    return b2a_base64(struct.pack(f"<{len(vector)}f", *vector), newline=False).decode()


def _inputs(told: Any) -> list[str | list[int]]:
    """Return what is to be embedded: one text or several, each perhaps in tokens."""
    if isinstance(told, list) and not all(isinstance(one, int) for one in told):
        return told
    return [] if told is None else [told]
