"""What a benchmark run found: named figures with their unit, and the ratios that must hold within the run."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` (0 … 1) of `values` lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def p50(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)


@dataclass(frozen=True)
class Figure:
    """One measured figure. `floor` names the figure of the same run it is read beside."""

    name: str
    value: float
    unit: str
    floor: str | None = None


@dataclass(frozen=True)
class Bound:
    """A ratio that must hold: `figure` over `floor` is at least (or at most) `limit`.

    If it `is_optional` the floor need not have been measured.
    """

    figure: str
    floor: str
    limit: float
    at_least: bool = True
    is_optional: bool = False


@dataclass
class Figures:
    """All figures of one run."""

    rows: list[Figure] = field(default_factory=list)

    def add(self, name: str, value: float, unit: str, floor: str | None = None) -> None:
        """Note a figure."""
        self.rows.append(Figure(name, value, unit, floor))

    def value(self, name: str) -> float:
        """Return a figure's value. Raises KeyError if it was not measured."""
        return {row.name: row.value for row in self.rows}[name]

    def ratio(self, row: Figure) -> str:
        """Return the figure over its floor, as text."""
        if row.floor is None or not self.value(row.floor):
            return ""
        return f"{row.value / self.value(row.floor):.2f} × {row.floor}"

    def broken(self, bounds: Sequence[Bound]) -> list[str]:
        """Return a sentence for each bound that does not hold."""
        return [sentence for bound in bounds if (sentence := self._judge(bound))]

    def _judge(self, bound: Bound) -> str | None:
        if bound.is_optional and all(row.name != bound.floor for row in self.rows):
            return None
        ratio = self.value(bound.figure) / self.value(bound.floor)
        holds = ratio >= bound.limit if bound.at_least else ratio <= bound.limit
        word = "at least" if bound.at_least else "at most"
        return None if holds else f"{bound.figure} is {ratio:.3f} × {bound.floor}, not {word} {bound.limit}"

    def show(self, console: Console) -> None:
        """Print the table."""
        table = Table("figure", "value", "unit", "beside the floor of this run")
        for row in self.rows:
            table.add_row(row.name, f"{row.value:,.2f}", row.unit, self.ratio(row))
        console.print(table)

    def write(self, path: Path) -> None:
        """Write the figures as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode([asdict(row) for row in self.rows])))
