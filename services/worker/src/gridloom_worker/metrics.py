"""The worker's own metrics."""

from __future__ import annotations

from functools import cache

from prometheus_client import Gauge, Histogram

from gridloom_worker.slots import Slots

_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_RATES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 20_000)

slots = Gauge("gridloom_worker_slots", "Slots by what they do", ["state"])
time_to_first_token_seconds = Histogram(
    "gridloom_time_to_first_token_seconds",
    "From the engine's start to its first text",
    ["model", "engine"],
    buckets=_SECONDS,
)
output_tokens_per_second = Histogram(
    "gridloom_output_tokens_per_second", "Speed of one answer after its first token", ["model"], buckets=_RATES
)
results_unconfirmed = Gauge("gridloom_worker_results_unconfirmed", "Results the scheduler has not confirmed yet")


def show(slots_in_use: Slots) -> None:
    """Have the gauges tell of these slots whenever somebody looks; until then they cost nothing."""
    slots.labels("busy").set_function(lambda: slots_in_use.running)
    slots.labels("free").set_function(lambda: slots_in_use.count - slots_in_use.running)
    slots.labels("waiting").set_function(lambda: slots_in_use.waiting)
    results_unconfirmed.set_function(lambda: slots_in_use.unconfirmed)


@cache
def first_token_of(model: str, engine: str) -> Histogram:
    """Return the histogram of one model; looking it up by its labels takes longer than to observe."""
    return time_to_first_token_seconds.labels(model, engine)


@cache
def speed_of(model: str) -> Histogram:
    """Return the histogram of one model."""
    return output_tokens_per_second.labels(model)
