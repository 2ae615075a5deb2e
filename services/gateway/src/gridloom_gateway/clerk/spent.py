"""What the jobs of a batch took in all."""

from __future__ import annotations

from gridloom_contract.vocabulary import Usage


class Spent:
    """Adds up tokens."""

    def __init__(self) -> None:
        self.total: Usage | None = None

    def add(self, usage: Usage | None) -> None:
        """Count what one job took; one that never ran took nothing."""
        if usage is None:
            return
        so_far = self.total or Usage(tokens_in=0, tokens_out=0)
        self.total = Usage(
            tokens_in=so_far.tokens_in + usage.tokens_in,
            tokens_out=so_far.tokens_out + usage.tokens_out,
            estimated=so_far.estimated or usage.estimated,
        )
