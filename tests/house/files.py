"""What no file of the project may contain: traces of the machine it was written on."""

from __future__ import annotations

import re
from collections.abc import Iterator

FORBIDDEN_NAMES = frozenset({"uv.lock", ".DS_Store", "Thumbs.db"})

_FOLDERS = "(?:home|Users|root|work|workspace|mnt)"
_OPTIONS = "(?:extra-index|index|find)[-_](?:url|links)"
_TRACES = {
    "an absolute path of one machine": re.compile(rf"(?<![\w.~/-])/{_FOLDERS}/\w[\w.-]*"),
    "the address of a package registry": re.compile(rf"(?:{_OPTIONS}|registry)[\"']?\s*[= :]\s*[\"']?https?://[^/\s]+"),
}
_BANNER = re.compile(r"^\s*#\s*([-=#*~─━═])\1{4,}", re.MULTILINE)


def name_is_welcome(path: str) -> Iterator[str]:
    """No lock file of one tool and no litter of one desktop."""
    if path.rsplit("/", 1)[-1] in FORBIDDEN_NAMES:
        yield f"{path}: does not belong here"


def text_has_no_trace(path: str, text: str) -> Iterator[str]:
    """No file names a folder of one machine, or where one machine gets its packages."""
    for what, pattern in _TRACES.items():
        for found in pattern.finditer(text):
            yield f"{path}:{text.count(chr(10), 0, found.start()) + 1}: {what}: {found.group().strip()!r}"


def text_has_no_banner(path: str, text: str) -> Iterator[str]:
    """No line of dashes divides a module: what needs one is two modules."""
    if path.endswith(".py"):
        for found in _BANNER.finditer(text):
            yield f"{path}:{text.count(chr(10), 0, found.start()) + 1}: a banner comment"
