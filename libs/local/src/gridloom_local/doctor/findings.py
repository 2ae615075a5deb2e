"""What a check finds, and running checks so that one that breaks is a finding too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """`warn` works but deserves a look; `fail` does not work or is not safe."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One line of the report. `remedy` says what to do about anything that is not ok."""

    check: str
    verdict: Verdict
    details: str
    remedy: str = ""


Check = Callable[[], Awaitable[list[Finding]]]


def ok(check: str, details: str) -> Finding:
    """Return a finding that needs nothing done."""
    return Finding(check, Verdict.OK, details)


def warn(check: str, details: str, remedy: str) -> Finding:
    """Return a finding that deserves a look."""
    return Finding(check, Verdict.WARN, details, remedy)


def fail(check: str, details: str, remedy: str) -> Finding:
    """Return a finding of something broken."""
    return Finding(check, Verdict.FAIL, details, remedy)


def judge(check: str, is_good: bool, details: str, remedy: str) -> Finding:
    """Return ok or fail."""
    return ok(check, details) if is_good else fail(check, details, remedy)


async def examine(name: str, check: Check, remedy: str) -> list[Finding]:
    """Return what `check` finds. A check that cannot even be made is a failure with its reason."""
    try:
        return await check()
    except Exception as error:  # noqa: BLE001 - whatever stops a check is exactly what the doctor must report
        return [fail(name, f"{type(error).__name__}: {error}"[:300], remedy)]
