"""Logs never carry a secret, whatever a careless line says."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from gridloom_kit.log import redact

SCRIPT = """
from gridloom_kit.log import bind, configure, get_logger
from gridloom_kit.trace import start_trace
import logging
configure("probe", "info")
start_trace()
bind(job="j1")
get_logger().info("probe.said", prompt="tell me", note="Bearer abc and glm_abcdefgh_secretsecret")
get_logger().debug("probe.unheard")
logging.getLogger("library").warning("line one\\nline two")
try:
    1 / 0
except ZeroDivisionError:
    get_logger().exception("probe.failed")
"""


@pytest.fixture(scope="module")
def lines() -> list[dict[str, str]]:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    return [msgspec.json.decode(line) for line in done.stdout.splitlines()]


def test_every_line_is_one_json_object_even_a_librarys(lines: list[dict[str, str]]) -> None:
    assert [line["event"] for line in lines] == ["probe.said", "line one\nline two", "probe.failed"]


def test_ids_service_time_and_trace_are_on_the_line(lines: list[dict[str, str]]) -> None:
    assert lines[0]["job"] == "j1"
    assert lines[0]["service"] == "probe"
    assert len(lines[0]["trace_id"]) == 32
    assert lines[0]["ts"].endswith("Z")


def test_prompts_and_keys_are_hidden(lines: list[dict[str, str]]) -> None:
    assert lines[0]["prompt"] == "[hidden]"
    assert "secret" not in lines[0]["note"]


def test_a_traceback_is_on_its_line(lines: list[dict[str, str]]) -> None:
    assert "ZeroDivisionError" in lines[2]["exception"]


@pytest.mark.parametrize(
    "secret",
    ["glm_abcdefgh_0123456789", "glw_w0abcdef_qwerty", "whsec_AAAA/BBB=", "X-Amz-Signature=0af3", "bearer xyz"],
)
def test_what_looks_like_a_secret_is_blacked_out(secret: str) -> None:
    assert redact(f"before {secret} after") == "before [hidden] after"
