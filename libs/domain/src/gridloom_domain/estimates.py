"""Estimates: how many tokens to reserve for a job before anybody knows how many it will use."""

from __future__ import annotations

from math import ceil

USUAL_OUTPUT_TOKENS = 256.0
"""What is expected of a model that nobody has seen answer yet."""

_CHARACTERS_PER_TOKEN = 3.0
_TEMPLATE_TOKENS = 16
_WEIGHT = 0.1
_SPREADS = 2.0


def estimate(prompt_characters: int, max_tokens: int | None, usual_output: float = USUAL_OUTPUT_TOKENS) -> int:
    """Return how many tokens to reserve for a job: its prompt, and `max_tokens` or what the model usually answers.

    Three characters a token is more than most prompts need, so that jobs seldom exceed their estimate.
    """
    prompt = ceil(prompt_characters / _CHARACTERS_PER_TOKEN) + _TEMPLATE_TOKENS
    output = max_tokens if max_tokens is not None else ceil(usual_output)
    return prompt + max(1, output)


class UsualOutput:
    """What models usually answer, from what they answered: the mean of late answers and twice their spread."""

    def __init__(self, most_models: int = 10_000) -> None:
        self._most_models = most_models
        self._known: dict[str, tuple[float, float]] = {}

    def of(self, model: str) -> float:
        """Return the tokens to expect of an answer that has no bound of its own."""
        mean, spread = self._known.get(model, (USUAL_OUTPUT_TOKENS, 0.0))
        return mean + _SPREADS * spread

    def saw(self, model: str, tokens_out: int) -> None:
        """Learn from an answer."""
        mean, spread = self._known.pop(model, (float(tokens_out), tokens_out / 2.0))
        off = tokens_out - mean
        if len(self._known) >= self._most_models:
            del self._known[next(iter(self._known))]
        self._known[model] = (mean + _WEIGHT * off, spread + _WEIGHT * (abs(off) - spread))
