"""What the options of `gridloom plans` say, as the API has it."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from gridloom_local.cli.plans import chosen, plans


@pytest.mark.parametrize(
    ("options", "terms"),
    [
        ({"daily_tokens": None, "rates": ()}, {}),
        ({"daily_tokens": 5, "rates": ()}, {"daily_tokens": 5}),
        ({"daily_tokens": "none", "rates": ("none",)}, {"daily_tokens": None, "rates": []}),
        ({"priority_boost": 0}, {"priority_boost": 0}),
        ({"rates": ({"group": "native", "per_minute": 6},)}, {"rates": [{"group": "native", "per_minute": 6}]}),
    ],
)
def test_only_what_is_named_changes_and_none_takes_a_limit_away(options: dict[str, Any], terms: dict[str, Any]) -> None:
    assert chosen(options) == terms


@pytest.mark.parametrize("options", [["--daily", "many"], ["--rate", "native"], ["--rate", "native=fast"]])
def test_what_is_no_limit_is_refused_before_anybody_is_asked(options: list[str]) -> None:
    assert CliRunner().invoke(plans, ["set", "team", *options]).exit_code == 2
