"""Names of models, as clients and engines spell them."""

from __future__ import annotations

VISION = "vision"
"""The feature of a model that takes images."""


def family_of(model: str) -> str:
    """Return the family of a model: the text before the first `:` (`qwen3:4b` → `qwen3`), or the whole name."""
    return model.partition(":")[0]
