"""The error tree."""

from __future__ import annotations

import pytest

from gridloom_contract.fault import FaultCode, FaultError
from gridloom_domain import errors
from gridloom_domain.errors import GridError


def concrete_errors(root: type[GridError] = GridError) -> list[type[GridError]]:
    """Return every class of the tree that has a code."""
    below = [found for child in root.__subclasses__() for found in concrete_errors(child)]
    return below + ([root] if "code" in vars(root) else [])


every_error = pytest.mark.parametrize("error", concrete_errors(), ids=lambda error: error.__name__)

OF_A_JOB = {FaultCode.BAD_OUTPUT, FaultCode.WORKER_LOST}
"""Codes that end a job and are never raised at a caller."""


@every_error
def test_the_bus_carries_it_as_a_fault(error: type[GridError]) -> None:
    raised = error("no such model: 'x'", "model", retry_after_seconds=2.0)

    assert isinstance(raised, FaultError)
    assert (raised.fault.code, raised.fault.message) == (error.code, "no such model: 'x'")
    assert (raised.fault.field, raised.fault.retry_after_seconds) == ("model", 2.0)


def test_every_code_a_caller_can_meet_has_exactly_one_class() -> None:
    codes = [error.code for error in concrete_errors()]
    assert sorted(codes) == sorted(set(FaultCode) - OF_A_JOB - {FaultCode.UNKNOWN})


@every_error
def test_the_tree_is_drawn_with_it(error: type[GridError]) -> None:
    assert f"── {error.__name__} " in (errors.__doc__ or "")


def test_what_may_pass_is_retryable_and_what_the_caller_must_change_is_not() -> None:
    assert errors.Unavailable("the scheduler is away").fault.retryable
    assert not errors.Invalid("prompt is missing", "prompt").fault.retryable
