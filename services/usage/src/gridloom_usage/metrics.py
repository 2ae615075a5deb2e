"""The usage service's metrics (names of OPS §3.2)."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Counter, Gauge

from gridloom_usage.rules.rollups import Group, Sums

OTHER = "other"
_MOST_MODELS = 200

ledger_lag_seconds = Gauge(
    "gridloom_usage_ledger_lag_seconds",
    "How long ago the oldest job ended that is known here but not in the ledger yet",
)
duplicates_ignored = Counter("gridloom_usage_duplicates_ignored", "Facts of endings that were in the ledger already")
endings_recorded = Counter("gridloom_usage_endings_recorded", "Endings written into the ledger")
tokens = Counter("gridloom_tokens", "Tokens of ended jobs", ["model", "type"])
facts_caught_up = Counter("gridloom_usage_facts_caught_up", "Endings whose facts never came and were asked for")
batches_finished = Counter("gridloom_usage_batches_finished", "Batches left half done by a crash and finished later")


class ModelLabels:
    """Keeps the label `model` to a bounded number of values: the first that come, the rest is `other`."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def label(self, model: str) -> str:
        """Return the label of a model."""
        if model not in self._known and len(self._known) >= _MOST_MODELS:
            return OTHER
        self._known.add(model)
        return model


class Count:
    """Counts what was recorded."""

    def __init__(self) -> None:
        self._models = ModelLabels()

    def recorded(self, increments: Iterable[tuple[Group, Sums]]) -> None:
        """Count what went into the rollups."""
        for group, sums in increments:
            model = self._models.label(group.model)
            tokens.labels(model, "input").inc(sums.tokens_in)
            tokens.labels(model, "output").inc(sums.tokens_out)
            endings_recorded.inc(sums.jobs)
