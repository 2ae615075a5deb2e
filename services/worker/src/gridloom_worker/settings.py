"""What an operator may set on a worker. Only `token` is required."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from gridloom_kit.settings import ServiceSettings

EngineName = Literal["openai_http", "llamacpp", "synthetic"]
PACKAGED = "packaged"
"""Instead of a file: the model of an installed package."""
_LARGEST_OBJECT_BYTES = 64 * 1024 * 1024

Bytes = Annotated[int, Meta(ge=1024)]
Count = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(ge=0)]


class Settings(ServiceSettings, frozen=True, kw_only=True):
    """The worker's settings; README.md has the table for people."""

    token: Annotated[str, Meta(min_length=1)]
    engine: EngineName = "openai_http"
    slots: Annotated[int, Meta(ge=1, le=1024)] = 4
    models: tuple[str, ...] = ()
    url: str = "http://127.0.0.1:11434/v1"
    api_key: str = ""
    discovery_seconds: Annotated[float, Meta(gt=0)] = 30.0
    model: str = ""
    embedding_model: str = ""
    embedding_models: tuple[str, ...] = ()
    context_tokens: Annotated[int, Meta(ge=256)] = 4096
    answer_tokens: Count = 0
    threads: Count = 0
    synthetic_tokens: Count = 16
    synthetic_tokens_per_second: Seconds = 0.0
    synthetic_first_token_seconds: Seconds = 0.0
    max_task_bytes: Bytes = _LARGEST_OBJECT_BYTES
    max_output_bytes: Bytes = _LARGEST_OBJECT_BYTES
    spool_dir: str = ""
    spool_fsync: bool = True


def state_directory(environ: Mapping[str, str]) -> Path:
    """Return where a user's programs keep what must survive a restart (XDG Base Directory Specification)."""
    chosen = environ.get("XDG_STATE_HOME", "")
    return (Path(chosen) if chosen else Path.home() / ".local" / "state") / "gridloom" / "worker"
