"""The golden examples: what other versions and other languages have learned to read.

An example is never edited. A new field gets a new example beside it, `<tag>-<what>.json`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from gridloom_contract import export
from gridloom_contract.fault import Fault

FOLDER = Path(__file__).parents[2] / "proto-schemas" / "examples"
EXAMPLES = sorted(FOLDER.glob("*.json"))
TYPES: dict[str, Any] = {**export.messages(), export.FAULT_NAME: Fault}
SCHEMAS = export.json_schemas()

every_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)


def tag_of(example: Path) -> str:
    return example.stem.partition("-")[0]


def wire(example: Path) -> bytes:
    """Return the bytes as they go over the bus: the file without the newline at its end."""
    return example.read_bytes().removesuffix(b"\n")


@every_example
def test_an_example_decodes_and_encodes_to_the_same_bytes(example: Path) -> None:
    message = msgspec.json.decode(wire(example), type=TYPES[tag_of(example)])
    assert msgspec.json.encode(message) == wire(example)


@every_example
def test_an_example_satisfies_its_json_schema(example: Path) -> None:
    Draft202012Validator(SCHEMAS[tag_of(example)]).validate(msgspec.json.decode(wire(example)))


def structs_in(value: Any) -> Iterator[msgspec.Struct]:
    """Yield a message and every part of it."""
    if isinstance(value, msgspec.Struct):
        yield value
        value = msgspec.structs.asdict(value)
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, tuple):
        for item in value:
            yield from structs_in(item)


DECODED = [msgspec.json.decode(wire(example), type=TYPES[tag_of(example)]) for example in EXAMPLES]
SHOWN = [part for message in DECODED for part in structs_in(message)]


@pytest.mark.parametrize("kind", sorted({*TYPES.values(), *map(type, SHOWN)}, key=str), ids=lambda kind: kind.__name__)
def test_the_examples_show_every_field_of_every_message_and_part(kind: type[msgspec.Struct]) -> None:
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    shown = {
        name
        for part in SHOWN
        if type(part) is kind
        for name, field in fields.items()
        if field.required or getattr(part, name) != field.default
    }
    assert shown == set(fields)


@every_example
def test_an_example_with_a_field_of_next_year_still_decodes(example: Path) -> None:
    newer = msgspec.json.decode(wire(example)) | {"added_next_year": {"deep": [1]}}
    decoded = msgspec.json.decode(msgspec.json.encode(newer), type=TYPES[tag_of(example)])
    assert msgspec.json.encode(decoded) == wire(example)
