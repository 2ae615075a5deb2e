"""Text from an engine made fit for JSON, UTF-8 and MongoDB, and a count of tokens where nobody counted."""

from __future__ import annotations

import re

from gridloom_contract.jobs import Task
from gridloom_contract.vocabulary import Usage
from gridloom_domain.tokens import guessed_tokens, text_characters
from gridloom_worker.engines.engine import TokenCounts

_UNFIT = re.compile("[\0\ud800-\udfff]")


def mended(text: str) -> str:
    """Return `text` with every NUL and lone surrogate replaced by U+FFFD, so as long as before."""
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)


def usage_of(counts: TokenCounts, task: Task, said_characters: int) -> Usage:
    """Return what the engine counted. What it left open, or called nothing though something was said, is guessed from
    the length of that, and the whole is marked as an estimate then.
    """
    counted_in, counted_out = max(counts.tokens_in or 0, 0), max(counts.tokens_out or 0, 0)
    tokens_in = counted_in or guessed_tokens(text_characters(task))
    tokens_out = counted_out or guessed_tokens(said_characters)
    is_guess = (tokens_in, tokens_out) != (counted_in, counted_out)
    return Usage(tokens_in=tokens_in, tokens_out=tokens_out, estimated=is_guess)
