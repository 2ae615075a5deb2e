"""The worker guide cannot grow stale: its JSON is that of the golden examples, its subjects those a worker may use."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gridloom_contract import export, permissions, subjects
from gridloom_contract.fault import Fault
from gridloom_contract.registry import CHANNELS

FOLDER = Path(__file__).parents[2] / "proto-schemas"
GUIDE = (FOLDER / "worker-guide.md").read_text("utf-8")
BLOCKS = re.findall(r"^```json\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
WORKER = "wk3q5zt7m2abd"
SUBJECTS = sorted(set(re.findall(rf"`([^`\s]*\.{WORKER}(?:\.[^`\s]+)?)`", GUIDE)))
TYPES: dict[str, Any] = {**export.messages(), export.FAULT_NAME: Fault}


def tag_of(block: str) -> str:
    return str(msgspec.json.decode(block).get("type", export.FAULT_NAME))


def examples_of(tag: str) -> list[bytes]:
    return [path.read_bytes().strip() for path in FOLDER.glob(f"examples/{tag}*.json")]


@pytest.mark.parametrize("block", BLOCKS, ids=tag_of)
def test_every_json_block_is_a_golden_example(block: str) -> None:
    message = msgspec.json.decode(block, type=TYPES[tag_of(block)])
    assert msgspec.json.encode(message) in examples_of(tag_of(block))


def test_the_guide_shows_every_message_of_the_worker_protocol() -> None:
    public = [channel for channel in CHANNELS if channel.for_workers]
    wanted = {tag for channel in public for tag in export.tags_of(channel)}
    assert wanted == set(map(tag_of, BLOCKS)) - {export.FAULT_NAME}


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_subject_is_one_that_the_worker_may_use(subject: str) -> None:
    allowed = permissions.of_worker(WORKER)
    spelled = subject.replace("<job>", "*")
    assert spelled in allowed.publish + allowed.subscribe


def test_the_shard_of_the_example_is_right() -> None:
    assert f"modulo 16: here {subjects.worker_shard(WORKER)}" in " ".join(GUIDE.split())
    assert subjects.SHARDS == 16


def test_it_is_done_in_eight_steps() -> None:
    assert re.findall(r"^## (\d)\.", GUIDE, re.MULTILINE) == list("12345678")
