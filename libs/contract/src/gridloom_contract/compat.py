"""Whether two versions of the contract can talk to each other.

Services and workers are upgraded one by one, so for a while old readers meet new messages and new readers old ones.
A change that breaks either is named here; it takes a new tag instead.

`python -m gridloom_contract.compat OLD NEW` compares two folders of schemas and exits 1 if anything breaks.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

JsonObject = Mapping[str, Any]
Schemas = Mapping[str, JsonObject]

_SHAPE = ("type", "format", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems")
_MISSING = object()


@dataclass(frozen=True)
class _Pair:
    """The same place in the old and in the new schema of one message."""

    where: str
    old: JsonObject
    new: JsonObject
    old_root: JsonObject
    new_root: JsonObject

    def at(self, step: str, old: JsonObject, new: JsonObject) -> _Pair:
        """Return the place one step further down."""
        return replace(self, where=f"{self.where}.{step}", old=old, new=new)

    def resolved(self) -> _Pair:
        """Return the place with references followed."""
        return replace(self, old=_resolve(self.old, self.old_root), new=_resolve(self.new, self.new_root))


def breaking_changes(old: Schemas, new: Schemas) -> list[str]:
    """Return every change from `old` to `new` (schemas by tag) that breaks a reader, as one sentence each.

    Breaking: a message or field that went (a rename is one), a new required field, a field that may now be missing, a
    type that changed, an enum value that went, a default that changed (it is not sent, so both sides must agree on it).
    Fine: a new message, a new field with a default, a new enum value, other words in a description.
    """
    found = [f"{tag}: the message is gone" for tag in old if tag not in new]
    for tag in old:
        if tag in new:
            found += _compare(_Pair(tag, old[tag], new[tag], old[tag], new[tag]), frozenset())
    return found


def read(folder: Path) -> Schemas:
    """Return the schemas of a folder by tag."""
    return {path.stem: msgspec.json.decode(path.read_bytes()) for path in sorted(folder.glob("*.json"))}


def main(arguments: list[str]) -> int:
    """Print the breaking changes between two folders; return 1 if there are any."""
    old, new = (read(Path(argument)) for argument in arguments)
    found = breaking_changes(old, new)
    sys.stdout.write("".join(f"{line}\n" for line in found))
    return 1 if found else 0


def _compare(pair: _Pair, seen: frozenset[str]) -> Iterator[str]:
    name = str(pair.old.get("$ref", ""))
    if name in seen:
        return
    seen = seen | {name} if name else seen
    here = pair.resolved()
    yield from _shape_changes(here)
    yield from _enum_changes(here)
    yield from _field_changes(here, seen)
    yield from _nested_changes(here, seen)


def _resolve(schema: JsonObject, root: JsonObject) -> JsonObject:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    definition: JsonObject = root["$defs"][reference.rsplit("/", 1)[-1]]
    return definition


def _shape_changes(pair: _Pair) -> Iterator[str]:
    for key in _SHAPE:
        before, after = pair.old.get(key), pair.new.get(key)
        if before != after:
            yield f"{pair.where}: {key} was {before}, is {after}"


def _enum_changes(pair: _Pair) -> Iterator[str]:
    before, after = pair.old.get("enum"), pair.new.get("enum")
    if before is not None and after is not None:
        yield from (f"{pair.where}: the value {value!r} is gone" for value in before if value not in after)
    elif before != after:
        yield f"{pair.where}: values were {before or 'free'}, are {after or 'free'}"


def _field_changes(pair: _Pair, seen: frozenset[str]) -> Iterator[str]:
    before, after = pair.old.get("properties", {}), pair.new.get("properties", {})
    was_required, is_required = set(pair.old.get("required", ())), set(pair.new.get("required", ()))
    yield from (f"{pair.where}.{field}: the field is gone" for field in before if field not in after)
    for field in after:
        if field in is_required - was_required:
            yield f"{pair.where}.{field}: the field is newly required"
        elif field in was_required - is_required:
            yield f"{pair.where}.{field}: the field may now be missing"
        if field in before:
            yield from _default_change(pair.at(field, before[field], after[field]))
            yield from _compare(pair.at(field, before[field], after[field]), seen)


def _default_change(pair: _Pair) -> Iterator[str]:
    before, after = pair.old.get("default", _MISSING), pair.new.get("default", _MISSING)
    if _MISSING not in (before, after) and before != after:
        yield f"{pair.where}: the default was {before!r}, is {after!r}"


def _nested_changes(pair: _Pair, seen: frozenset[str]) -> Iterator[str]:
    for key in ("items", "additionalProperties"):
        before, after = pair.old.get(key), pair.new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _compare(pair.at("*", before, after), seen)
        elif before != after:
            yield f"{pair.where}: {key} was {before}, is {after}"
    yield from _alternative_changes(pair, seen)


def _alternative_changes(pair: _Pair, seen: frozenset[str]) -> Iterator[str]:
    before = {_kind(option, pair.old_root): option for option in pair.old.get("anyOf", ())}
    after = {_kind(option, pair.new_root): option for option in pair.new.get("anyOf", ())}
    yield from (f"{pair.where}: may no longer be {kind}" for kind in before if kind not in after)
    yield from (f"{pair.where}: may now be {kind}, which older readers refuse" for kind in after if kind not in before)
    for kind, option in before.items():
        if kind in after:
            yield from _compare(pair.at(kind, option, after[kind]), seen)


def _kind(option: JsonObject, root: JsonObject) -> str:
    """What a reader tells the alternatives of a union apart by: the tag of a message, else the JSON type."""
    schema = _resolve(option, root)
    tags = schema.get("properties", {}).get("type", {}).get("enum")
    return str(tags[0]) if tags else str(schema.get("type", "string"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
