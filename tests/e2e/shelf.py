"""A place where jobs wait for as long as a test wants: a worker that is drained by its operator."""

from __future__ import annotations

from dataclasses import dataclass

from gridloom_contract.registry import WORKER
from gridloom_testing.admission import worker_of
from gridloom_testing.grid import Grid

MODEL = "shelf:1b"


@dataclass(frozen=True)
class Shelf:
    """A worker with one slot, the only one that serves `model`."""

    grid: Grid
    worker: str
    model: str = MODEL

    def drain(self) -> None:
        """Have it given nothing new: jobs for its model are pending from now on."""
        self.grid.ask("POST", f"/admin/v1/workers/{self.worker}/drain")

    def resume(self) -> None:
        """Have it given what waits."""
        self.grid.ask("POST", f"/admin/v1/workers/{self.worker}/resume")


def open_shelf(grid: Grid) -> Shelf:
    """Start the worker."""
    token = grid.enrol()
    grid.start(WORKER, token, slots=1, models=MODEL)
    grid.wait_until_ready()
    return Shelf(grid, worker_of(token))
