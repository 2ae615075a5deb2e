"""Files and batches as openai-python uses them, unmodified but for its base URL. Prints what came back as JSON.

.venv-clients/bin/python tests/clients/openai_batches.py URL KEY
"""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import openai
from openai import OpenAI

URL, KEY = sys.argv[1:3]
WINDOW: Any = "24h"
ENDPOINT: Any = "/v1/chat/completions"
LINES = 200
BAD = {50: {"messages": []}, 150: {"model": "nobody"}}

client = OpenAI(base_url=URL, api_key=KEY)


def a_line(number: int) -> str:
    messages = [{"role": "user", "content": f"Line {number}. [[tokens=3]]"}]
    body = {"model": "synthetic", "messages": messages} | BAD.get(number, {})
    return json.dumps({"custom_id": f"line-{number}", "method": "POST", "url": ENDPOINT, "body": body})


def a_file(lines: int) -> Any:
    content = "\n".join(map(a_line, range(lines)))
    return client.files.create(file=("lines.jsonl", io.BytesIO(content.encode())), purpose="batch")


def ended(batch: str) -> Any:
    deadline = time.monotonic() + 60
    while (found := client.batches.retrieve(batch)).status not in ("completed", "failed", "cancelled"):
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    return found


def lines_of(file: str) -> Any:
    return [json.loads(text) for text in client.files.content(file).text.splitlines()]


def refused(call: Callable[[], object]) -> Any:
    try:
        call()
    except openai.APIStatusError as error:
        return {"class": type(error).__name__, "status": error.status_code, "type": error.type}
    return None


def files() -> Any:
    expiry: Any = {"anchor": "created_at", "seconds": 7200}
    made = client.files.create(file=io.BytesIO(b"{}\n"), purpose="batch", expires_after=expiry)
    kept = a_file(3)
    listed = [file.id for file in client.files.list(limit=1)]
    content = client.files.content(kept.id).text
    deleted = client.files.delete(made.id)
    return {
        "made": made.model_dump(),
        "kept": kept.model_dump(),
        "retrieved": client.files.retrieve(kept.id).model_dump(),
        "listed": listed,
        "of_purpose": [file.id for file in client.files.list(purpose="batch_output")],
        "is_content_same": content == "\n".join(map(a_line, range(3))),
        "deleted": deleted.model_dump(),
        "gone": refused(lambda: client.files.retrieve(made.id)),
        "wrong_purpose": refused(lambda: client.files.create(file=io.BytesIO(b"{}"), purpose="vision")),
        "empty": refused(lambda: client.files.create(file=io.BytesIO(b""), purpose="batch")),
    }


def batches() -> Any:
    file = a_file(LINES)
    made = client.batches.create(
        input_file_id=file.id, endpoint=ENDPOINT, completion_window=WINDOW, metadata={"of": "two hundred"}
    )
    batch = ended(made.id)
    return {
        "made": made.model_dump(),
        "ended": batch.model_dump(),
        "answers": lines_of(batch.output_file_id or ""),
        "errors": lines_of(batch.error_file_id or ""),
        "output_file": client.files.retrieve(batch.output_file_id or "").model_dump(),
    }


def canceled() -> Any:
    slow: Any = {"model": "synthetic", "messages": [{"role": "user", "content": "Slow. [[tokens=900]] [[rate=10]]"}]}
    line = {"custom_id": "slow", "method": "POST", "url": ENDPOINT, "body": slow}
    file = client.files.create(file=io.BytesIO(json.dumps(line).encode()), purpose="batch")
    made = client.batches.create(input_file_id=file.id, endpoint=ENDPOINT, completion_window=WINDOW)
    canceling = client.batches.cancel(made.id)
    return {"canceling": canceling.status, "ended": ended(made.id).model_dump(), "missing": refused(missing)}


def missing() -> Any:
    return client.batches.retrieve("batch_abc")


def listed() -> Any:
    return {"pages": [batch.id for batch in client.batches.list(limit=1)]}


CALLS: tuple[Callable[[], Any], ...] = (files, batches, canceled, listed)

if __name__ == "__main__":
    print(json.dumps({call.__name__: call() for call in CALLS}, default=str))
