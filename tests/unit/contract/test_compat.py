"""The judge of contract changes, proven on planted ones."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from gridloom_contract import compat, export
from gridloom_contract.compat import breaking_changes


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Part(Struct, kw_only=True):
    name: str


class Before(Struct, kw_only=True, tag_field="type", tag="thing.make.1"):
    """What there is today."""

    job: str
    count: int = 3
    size: int | str = 1
    note: str | None = None
    colour: Colour = Colour.RED
    part: Part | None = None
    parts: tuple[Part, ...] = ()
    extra: dict[str, int] = {}


def schemas_of(kind: type[Struct]) -> dict[str, Any]:
    return {"thing.make.1": msgspec.json.schema(kind)}


def changed(**fields: Any) -> dict[str, Any]:
    """Return today's message with these fields changed: a type, (type, default), or None for a field that went."""
    there: dict[str, Any] = {
        "job": (str,),
        "count": (int, 3),
        "size": (int | str, 1),
        "note": (str | None, None),
        "colour": (Colour, Colour.RED),
        "part": (Part | None, None),
        "parts": (tuple[Part, ...], ()),
        "extra": (dict[str, int], {}),
    }
    wanted = [(name, *definition) for name, definition in (there | fields).items() if definition is not None]
    kind = msgspec.defstruct("Before", wanted, kw_only=True, tag_field="type", tag="thing.make.1")
    return schemas_of(kind)


class FewerColours(Enum):
    RED = "red"


class MoreColours(Enum):
    RED = "red"
    BLUE = "blue"
    GREEN = "green"


class RenamedPart(Struct, kw_only=True):
    name: str


class PartWithoutName(Struct, kw_only=True):
    title: str = ""


@pytest.mark.parametrize(
    ("planted", "sentence"),
    [
        ({"count": None}, "thing.make.1.count: the field is gone"),
        ({"count": None, "number": (int, 3)}, "thing.make.1.count: the field is gone"),
        ({"urgent": (bool,)}, "thing.make.1.urgent: the field is newly required"),
        ({"note": (str,)}, "thing.make.1.note: the field is newly required"),
        ({"note": (str, "")}, "thing.make.1.note: may no longer be null"),
        ({"size": (int, 1)}, "thing.make.1.size: may no longer be string"),
        ({"count": (str, "3")}, "thing.make.1.count: type was integer, is string"),
        ({"count": (int | None, 3)}, "thing.make.1.count: may now be null, which older readers refuse"),
        ({"job": (str, "")}, "thing.make.1.job: the field may now be missing"),
        ({"count": (int, 4)}, "thing.make.1.count: the default was 3, is 4"),
        ({"colour": (FewerColours, FewerColours.RED)}, "thing.make.1.colour: the value 'blue' is gone"),
        ({"colour": (str, "red")}, "thing.make.1.colour: values were ['blue', 'red'], are free"),
        ({"parts": (tuple[PartWithoutName, ...], ())}, "thing.make.1.parts.*.name: the field is gone"),
        ({"part": (PartWithoutName | None, None)}, "thing.make.1.part.object.name: the field is gone"),
        ({"extra": (dict[str, str], {})}, "thing.make.1.extra.*: type was integer, is string"),
        ({"parts": (dict[str, Part], {})}, "thing.make.1.parts: type was array, is object"),
    ],
)
def test_a_breaking_change_is_named(planted: dict[str, Any], sentence: str) -> None:
    assert sentence in breaking_changes(schemas_of(Before), changed(**planted))


@pytest.mark.parametrize(
    "planted",
    [
        {},
        {"urgent": (bool, False)},
        {"colour": (MoreColours, MoreColours.RED)},
        {"parts": (tuple[RenamedPart, ...], ())},
        {"part": (RenamedPart | None, None)},
    ],
)
def test_a_change_that_nobody_notices_is_not_named(planted: dict[str, Any]) -> None:
    assert breaking_changes(schemas_of(Before), changed(**planted)) == []


def test_a_message_that_went_is_named_and_a_new_one_is_not() -> None:
    assert breaking_changes(schemas_of(Before), {}) == ["thing.make.1: the message is gone"]
    assert breaking_changes({}, schemas_of(Before)) == []


def test_another_tag_is_another_message() -> None:
    second = msgspec.defstruct("Before", [("job", str)], tag_field="type", tag="thing.make.2")
    found = breaking_changes(schemas_of(Before), {"thing.make.1": msgspec.json.schema(second)})
    assert "thing.make.1.type: the value 'thing.make.1' is gone" in found


def test_a_message_that_contains_itself_is_compared_once() -> None:
    tree = msgspec.json.schema(Tree)
    assert breaking_changes({"tree.1": tree}, {"tree.1": tree}) == []


class Tree(Struct, kw_only=True):
    branches: list[Tree] = []


def test_the_contract_is_compatible_with_itself() -> None:
    assert breaking_changes(export.json_schemas(), export.json_schemas()) == []


def test_the_command_compares_two_folders_and_says_what_breaks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # given the folder as it is, and one without a message
    old, new = tmp_path / "old", tmp_path / "new"
    export.write(old)
    export.write(new)
    (new / "schemas" / "job.get.1.json").unlink()

    # when they are compared both ways
    broken = compat.main([str(old / "schemas"), str(new / "schemas")])
    grown = compat.main([str(new / "schemas"), str(old / "schemas")])

    # then only the loss counts
    assert (broken, grown) == (1, 0)
    assert capsys.readouterr().out == "job.get.1: the message is gone\n"
