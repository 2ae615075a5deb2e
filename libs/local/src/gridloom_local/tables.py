"""What the commands print: tables for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click
import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

Row = Sequence[object]

_PIPE_WIDTH: Final = 240
"""Columns where nobody looks: a program that reads a table wants a row to be a line."""


def print_table(columns: Sequence[str], rows: Sequence[Row], *, title: str | None = None) -> None:
    """Print a table; None and empty values become a dash. Nothing in a cell is read as markup."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for number, column in enumerate(columns):
        # The first column is what people copy into the next command.
        table.add_column(column, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PIPE_WIDTH)
    console.print(table)


def print_rows(columns: Mapping[str, str], entries: Sequence[Mapping[str, Any]]) -> None:
    """Print one row an entry; `columns` maps each heading to the field below it. Fields called `…_at` are times."""
    print_table(list(columns), [[_field(entry, name) for name in columns.values()] for entry in entries])


def print_fields(entry: Mapping[str, Any]) -> None:
    """Print one entry, a line for each field that has a value."""
    print_table(("field", "value"), [(name, value) for name, value in entry.items() if value not in (None, "", [], {})])


def print_json(value: object) -> None:
    """Print `value` as indented JSON."""
    click.echo(msgspec.json.format(msgspec.json.encode(value)).decode())


def moment(text: str | None) -> str:
    """Return an API's time as people read it: `2026-01-02 03:04:05`, in UTC."""
    return text[:19].replace("T", " ") if text else ""


def seconds(value: float | None) -> str:
    """Return a duration as people read it: `0.12 s`, `3.4 s`, `5 min`, `2 h`."""
    if value is None:
        return ""
    if value < 1:
        return f"{value:.2f} s"
    if value < 120:
        return f"{value:.1f} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.0f} h"


def _field(entry: Mapping[str, Any], name: str) -> object:
    return moment(entry.get(name)) if name.endswith("_at") else entry.get(name)


def _text(value: object) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, list | tuple):
        return ", ".join(_text(one) for one in value) or "-"
    return msgspec.json.encode(value).decode() if isinstance(value, Mapping) else str(value)


def _cell(value: object) -> Text:
    # A worker's or client's words are shown, never obeyed: no markup, no terminal escapes.
    return Text(
        "".join(one if one.isprintable() or one == "\n" else "\N{REPLACEMENT CHARACTER}" for one in _text(value))
    )
