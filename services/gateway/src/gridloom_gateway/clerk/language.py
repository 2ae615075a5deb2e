"""What the clerk has to be told by the dialect whose batches it works on: what lines mean, and how results look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gridloom_contract.batches import Batch, BatchError
from gridloom_contract.fault import FaultError
from gridloom_contract.jobs import Job, Submission
from gridloom_gateway.clerk.lines import Line


@dataclass(frozen=True)
class Result:
    """What is written down of a line, and whether among the answers or among the errors."""

    text: bytes
    is_answer: bool


class Inspection(Protocol):
    """Looks at all lines of a file, one portion after the other."""

    def take(self, lines: Sequence[Line]) -> None:
        """Look at further lines."""
        ...

    def errors(self) -> tuple[BatchError, ...]:
        """Return what is wrong with those that were taken, or that there were none."""
        ...

    @property
    def total(self) -> int:
        """How many lines were taken."""
        ...

    @property
    def model(self) -> str | None:
        """The model that all of them name."""
        ...


class Language(Protocol):
    """How a dialect writes batches. Everything is pure: asked again, it says the same."""

    @property
    def result_label(self) -> str:
        """What the dialect calls the purpose of files that batches leave."""
        ...

    def keep_seconds(self, batch: Batch) -> float | None:
        """Return how long the files that the batch leaves are kept, if its owner said so."""
        ...

    def inspection(self, batch: Batch) -> Inspection:
        """Return what looks at the lines of the batch."""
        ...

    def submission(self, batch: Batch, line: Line) -> Submission:
        """Return the job of a line that passed the inspection. Raises `FaultError` if it cannot be one."""
        ...

    def result(self, batch: Batch, line: Line, outcome: Job | FaultError) -> Result:
        """Return what is written down of a line: its job, without its task, ended so, or it could not become one."""
        ...

    def interrupted(self, batch: Batch) -> FaultError:
        """Return why lines of the batch never became jobs: it was canceled, or its time is over."""
        ...
