"""What is committed under proto-schemas/ is what the contract says."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridloom_contract import export

FOLDER = Path(__file__).parents[2] / "proto-schemas"


GENERATED = export.files()


@pytest.mark.parametrize("name", sorted(GENERATED))
def test_a_generated_file_is_fresh(name: str) -> None:
    assert (FOLDER / name).read_bytes() == GENERATED[name], "run `make schemas`"


def test_no_schema_of_a_forgotten_message_lies_there() -> None:
    there = {f"schemas/{path.name}" for path in (FOLDER / "schemas").iterdir()}
    assert there == {name for name in GENERATED if name.startswith("schemas/")}
