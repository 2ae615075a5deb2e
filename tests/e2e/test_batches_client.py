"""Files and batches with the official Python client, unmodified but for its base URL (API.md §2.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.clients import install_clients, run_python_client
from gridloom_contract.registry import BLOB
from gridloom_testing.grid import Grid, open_grid
from gridloom_testing.servers import Infra, MongoServer


@pytest.fixture(scope="module")
def batch_grid(infra: Infra, mongo_server: MongoServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A grid that keeps files."""
    with open_grid(infra, mongo_server, tmp_path_factory.mktemp("grid")) as grid:
        grid.start_all(BLOB, slots=16)
        yield grid


@pytest.fixture(scope="module")
def said(batch_grid: Grid) -> dict[str, Any]:
    """What the client got, by the name of the call."""
    install_clients()
    return dict(asyncio.run(run_python_client("openai_batches.py", f"{batch_grid.url}/v1", batch_grid.new_key())))


def test_files_come_back_as_they_were_until_they_are_deleted(said: dict[str, Any]) -> None:
    files = said["files"]
    kept = files["kept"]
    assert (kept["object"], kept["purpose"], kept["filename"], kept["status"]) == (
        *("file", "batch", "lines.jsonl"),
        "processed",
    )
    assert files["retrieved"] == kept
    assert files["is_content_same"]
    assert files["made"]["expires_at"] - files["made"]["created_at"] == 7200
    assert files["listed"] == [kept["id"], files["made"]["id"]]
    assert files["of_purpose"] == []
    assert (files["deleted"]["id"], files["deleted"]["deleted"]) == (files["made"]["id"], True)
    assert files["gone"] == {"class": "NotFoundError", "status": 404, "type": "not_found"}
    for refusal in ("wrong_purpose", "empty"):
        assert files[refusal] == {"class": "BadRequestError", "status": 400, "type": "invalid_request"}


def test_two_hundred_lines_are_answered_but_for_two(said: dict[str, Any]) -> None:
    made, ended = said["batches"]["made"], said["batches"]["ended"]
    answers, errors = said["batches"]["answers"], said["batches"]["errors"]
    assert (made["object"], made["endpoint"], made["completion_window"]) == ("batch", "/v1/chat/completions", "24h")
    assert made["expires_at"] - made["created_at"] == pytest.approx(86_400, abs=1)
    assert (ended["status"], ended["metadata"]) == ("completed", {"of": "two hundred"})
    assert ended["request_counts"] == {"total": 200, "completed": 198, "failed": 2}
    assert (ended["usage"]["output_tokens"], ended["usage"]["input_tokens_details"]) == (594, {"cached_tokens": 0})
    assert ended["created_at"] <= ended["in_progress_at"] <= ended["finalizing_at"] <= ended["completed_at"]
    expected = [f"line-{number}" for number in range(200) if number not in (50, 150)]
    assert [answer["custom_id"] for answer in answers] == expected
    assert {answer["response"]["body"]["object"] for answer in answers} == {"chat.completion"}
    assert {answer["response"]["status_code"] for answer in answers} == {200}
    assert len({answer["id"] for answer in answers}) == 198
    told = [(error["custom_id"], error["response"]["status_code"], error["error"]) for error in errors]
    assert told == [("line-50", 400, None), ("line-150", 404, None)]
    assert errors[0]["response"]["body"]["error"]["param"] == "messages"
    assert said["batches"]["output_file"]["purpose"] == "batch_output"


def test_a_batch_is_canceled(said: dict[str, Any]) -> None:
    told = said["canceled"]
    assert told["canceling"] == "cancelling"
    assert (told["ended"]["status"], told["ended"]["output_file_id"]) == ("cancelled", None)
    assert told["missing"] == {"class": "NotFoundError", "status": 404, "type": "not_found"}


def test_batches_are_listed_page_by_page_newest_first(said: dict[str, Any]) -> None:
    assert said["listed"]["pages"] == [said["canceled"]["ended"]["id"], said["batches"]["made"]["id"]]
