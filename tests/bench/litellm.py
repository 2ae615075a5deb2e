"""LiteLLM's proxy in front of the benchmark's engine, if `make bench-peers` has installed it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from urllib.error import URLError
from urllib.request import Request, urlopen

from tests.bench.chat import Server
from tests.bench.grid import child, free_port
from tests.bench.upstream import MODEL

PEER = "LiteLLM"
_PROGRAM = Path(".venv-peers") / "bin" / "litellm"
_PATIENCE_SECONDS = 120.0


@contextmanager
def litellm(home: Path, upstream: str, floor: str) -> Iterator[Server | None]:
    """Yield the proxy once it serves, or None if it is not installed."""
    if not _PROGRAM.exists():
        yield None
        return
    port, key = free_port(), f"sk-{token_hex(24)}"
    config = home / "litellm.yaml"
    engine = {"model": f"openai/{MODEL}", "api_base": f"{upstream}/v1", "api_key": "none"}
    config.write_text(json.dumps({"model_list": [{"model_name": MODEL, "litellm_params": engine}]}))
    command = [str(_PROGRAM), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    environ = {"LITELLM_MASTER_KEY": key, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    with child(command, home / "litellm.log", environ):
        server = Server(PEER, f"http://127.0.0.1:{port}", key, floor)
        _wait_until_it_serves(server)
        yield server


def _wait_until_it_serves(server: Server) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    request = Request(server.url + "/v1/models", headers={"Authorization": f"Bearer {server.key}"})
    while True:
        try:
            with urlopen(request, timeout=5):
                return
        except (URLError, ConnectionError, TimeoutError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
