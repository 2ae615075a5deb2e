"""The verification code in the README accepts real deliveries and nothing else, in each language it is written in."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from integration.webhook.conftest import Scene
from integration.webhook.receivers import Request
from unit.webhook.facts import API_KEY

README = Path(__file__).parents[3] / "services" / "webhook" / "README.md"


@dataclass(frozen=True)
class Language:
    """How a snippet is run: `call` reads `case.json` beside it and calls both functions."""

    fence: str
    program: str
    file: str
    call: str


LANGUAGES = (
    Language(
        "python",
        sys.executable,
        "verify.py",
        """
import json, pathlib
case = json.loads(pathlib.Path(__file__).with_name("case.json").read_text())
verify(case["body"].encode(), case["headers"], case["secret"])
verify_vibe(case["body"].encode(), case["headers"], case["key"])
""",
    ),
    Language(
        "javascript",
        "node",
        "verify.mjs",
        """
import { readFileSync } from "node:fs";
const given = JSON.parse(readFileSync(new URL("case.json", import.meta.url)));
verify(Buffer.from(given.body), given.headers, given.secret);
verifyVibe(Buffer.from(given.body), given.headers, given.key);
""",
    ),
    Language(
        "ruby",
        "ruby",
        "verify.rb",
        """
require "json"
given = JSON.parse(File.read(File.join(__dir__, "case.json"), encoding: "UTF-8"))
verify(given["body"], given["headers"], given["secret"])
verify_vibe(given["body"], given["headers"], given["key"])
""",
    ),
)


def snippet(fence: str) -> str:
    found = re.search(rf"```{fence}\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert found, fence
    return found.group(1)


async def passes(language: Language, folder: Path, case: dict[str, object]) -> bool:
    """Run the snippet on a request and say whether it accepts it."""
    (folder / "case.json").write_bytes(msgspec.json.encode(case))
    (folder / language.file).write_text(snippet(language.fence) + language.call, "utf-8")
    process = await asyncio.create_subprocess_exec(
        language.program, str(folder / language.file), stderr=asyncio.subprocess.PIPE
    )
    _, complaint = await process.communicate()
    assert process.returncode == 0 or b"too old" in complaint or b"signed with another" in complaint, complaint.decode()
    return process.returncode == 0


def a_case(request: Request, secret: str) -> dict[str, object]:
    return {"body": request.body.decode(), "headers": request.headers, "secret": secret, "key": API_KEY}


Forgery = Callable[[dict[str, object]], dict[str, object]]
FORGERIES: dict[str, Forgery] = {
    "another body": lambda case: case | {"body": f"{case['body']} "},
    "another secret": lambda case: case | {"secret": "whsec_" + "A" * 32},
    "another key": lambda case: case | {"key": "glm_other"},
    "an old time": lambda case: case | {"headers": case["headers"] | {"webhook-timestamp": "1700000000"}},  # type: ignore[operator]
    "another id": lambda case: case | {"headers": case["headers"] | {"webhook-id": "evt_x"}},  # type: ignore[operator]
}


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.fence)
async def test_the_readme_verifies_real_deliveries(language: Language, scene: Scene, tmp_path: Path) -> None:
    if shutil.which(language.program) is None:
        pytest.skip(f"{language.program} is not installed")
    await scene.start_webhook()
    old = await scene.gateway.secret()
    new = await scene.gateway.secret(rotate=True)
    await scene.scheduler.run_job(scene.receiver.url)
    request = (await scene.receiver.received(1))[0]
    for secret in (old, new):
        assert await passes(language, tmp_path, a_case(request, secret))
    for name, forge in FORGERIES.items():
        assert not await passes(language, tmp_path, forge(a_case(request, new))), name
