"""Settings: read once from the environment into a frozen Struct, every mistake reported at once and by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec.structs import FieldInfo, fields

S = TypeVar("S", bound="ServiceSettings")


class ServiceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What every service needs. A service's own settings extend it; names carry their unit."""

    nats_url: str = "nats://127.0.0.1:4222"
    nats_user: str = ""
    nats_password: str = ""
    internal_host: str = "127.0.0.1"
    internal_port: int = 0
    log_level: str = "info"
    stop_grace_seconds: float = 20.0


class SettingsError(Exception):
    """Settings that cannot be used; `problems` has one sentence for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("unusable settings:\n" + "\n".join(f"  {problem}" for problem in problems))
        self.problems = problems


def environment_name(service: str, field: str) -> str:
    """Return the variable that sets `field` of `service`: `GRIDLOOM_<SERVICE>_<FIELD>`."""
    return f"GRIDLOOM_{service}_{field}".upper()


def load(settings: type[S], service: str, environ: Mapping[str, str]) -> S:
    """Return the settings of `service` found in `environ`.

    Raises `SettingsError` naming every problem, never a value.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    known = {environment_name(service, field.name): field for field in fields(settings)}
    for name, field in known.items():
        if name in environ:
            _read(name, field, environ[name], values, problems)
        elif field.required:
            problems.append(f"{name} is not set and has no default")
    problems += _unknown(service, known, environ)
    if problems:
        raise SettingsError(problems)
    try:
        return msgspec.convert(values, settings)
    except msgspec.ValidationError as error:
        raise SettingsError([str(error)]) from error


def _read(name: str, field: FieldInfo, text: str, values: dict[str, Any], problems: list[str]) -> None:
    try:
        values[field.name] = _convert(text, field.type)
    except msgspec.ValidationError as error:
        problems.append(f"{name} cannot be used: {error}")


def _convert(text: str, wanted: Any) -> Any:
    """Lists are written with commas; everything else as msgspec reads a string."""
    if getattr(wanted, "__origin__", None) is tuple:
        parts = [part.strip() for part in text.split(",") if part.strip()]
        return msgspec.convert(parts, wanted, strict=False)
    return msgspec.convert(text, wanted, strict=False)


def _unknown(service: str, known: Mapping[str, FieldInfo], environ: Mapping[str, str]) -> list[str]:
    prefix = environment_name(service, "")
    return [
        f"{name} is no setting of the {service}; known are {', '.join(sorted(known))}"
        for name in sorted(environ)
        if name.startswith(prefix) and name not in known
    ]
