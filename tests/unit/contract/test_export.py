"""The generated documents, judged by readers that know nothing of our code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gridloom_contract import export
from gridloom_contract.registry import CHANNELS

every_schema = pytest.mark.parametrize("name", sorted(export.json_schemas()))


def references_in(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from references_in(item)


def resolve(document: dict[str, Any], reference: str) -> Any:
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


@every_schema
def test_a_schema_is_valid_json_schema_and_stands_alone(name: str) -> None:
    schema = export.json_schemas()[name]
    Draft202012Validator.check_schema(schema)
    assert all(resolve(schema, reference) for reference in references_in(schema))


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    document = export.asyncapi()
    assert all(resolve(document, reference) for reference in references_in(document))


def test_every_row_of_the_registry_is_a_channel_with_its_parties() -> None:
    document = export.asyncapi()
    parties = {(name.split("-")[0], operation["channel"]["$ref"]) for name, operation in document["operations"].items()}
    wanted = sum(len({*channel.senders, *channel.hearers, *channel.consumers}) for channel in CHANNELS)
    replies = sum(channel.reply is not None for channel in CHANNELS)

    assert len(document["channels"]) == len(CHANNELS) + replies
    assert len(parties) == wanted


def test_every_star_of_a_subject_has_a_name() -> None:
    for channel in export.asyncapi()["channels"].values():
        address = channel["address"] or ""
        assert "*" not in address
        assert address.count("{") == len(channel.get("parameters", {}))


def test_a_request_shows_its_answer_and_how_it_is_refused() -> None:
    channels = export.asyncapi()["channels"]
    assert set(channels["jobs-submit-reply"]["messages"]) == {"jobs.submitted.1", "fault"}


def test_writing_twice_changes_nothing_and_removes_what_is_no_longer_there(tmp_path: Path) -> None:
    # given a folder with a schema of a message that does not exist any more
    export.write(tmp_path)
    (tmp_path / "schemas" / "job.forgotten.1.json").write_text("{}")

    # when it is written again, twice
    second, third = export.write(tmp_path), export.write(tmp_path)

    # then only the stray file went
    assert (second, third) == (["schemas/job.forgotten.1.json"], [])
    assert sorted(path.name for path in (tmp_path / "schemas").iterdir()) == sorted(
        f"{name}.json" for name in export.json_schemas()
    )


def test_the_command_says_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export.main([str(tmp_path)]) == 0
    assert export.main([str(tmp_path)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("written: ")
    assert said[-1] == f"{tmp_path}: fresh"
