"""The end of a log as a person reads it: JSON lines as words, tracebacks as lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

_TAIL_LINES: Final = 20
_TAIL_BYTES: Final = 64 * 1024
_LONGEST_LINE: Final = 400
_KNOWN: Final = ("ts", "level", "event", "service", "pid", "exception")


def tail(path: Path, lines: int = _TAIL_LINES) -> list[str]:
    """Return the last `lines` lines of a file, made readable, or none if it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            content = file.read()
    except OSError:
        return []
    return list(_readable(content.decode(errors="replace").splitlines()))[-lines:]


def _readable(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        entry = _entry(line)
        if entry is None:
            yield line[:_LONGEST_LINE]
            continue
        more = " ".join(f"{name}={value}" for name, value in entry.items() if name not in _KNOWN)
        text = f"{str(entry.get('ts', ''))[11:19]} {entry.get('level', '')} {entry['event']} {more}".strip()
        yield text.replace("\n", " ")[:_LONGEST_LINE]
        yield from str(entry.get("exception", "")).splitlines()


def _entry(line: str) -> dict[str, Any] | None:
    """Return a line of our own services' logs as its fields; None for any other line."""
    try:
        entry = msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.DecodeError:
        return None
    return entry if "event" in entry else None
