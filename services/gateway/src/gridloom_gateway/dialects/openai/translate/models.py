"""Models of the catalogue as OpenAI's clients and inference.club's list them."""

from __future__ import annotations

from typing import Final

from gridloom_contract.fleet import ModelEntry
from gridloom_contract.vocabulary import Kind
from gridloom_domain.errors import NotFound
from gridloom_gateway.dialects.openai.wire import models

_OWNER: Final = "gridloom"
_VISION: Final = "vision"
_SERVICE_TYPE: Final[dict[str, str]] = {Kind.CHAT: "llm", Kind.COMPLETION: "llm", Kind.EMBEDDING: "embedding"}
_OUTPUT: Final[dict[str, str]] = {Kind.EMBEDDING: "embedding"}


def from_model(entry: ModelEntry) -> models.Model:
    """Return one model."""
    images = ["image"] if _VISION in entry.features else []
    return models.Model(
        id=entry.model,
        created=int(entry.first_seen_at.timestamp()) if entry.first_seen_at else 0,
        owned_by=_OWNER,
        service_type=_SERVICE_TYPE.get(entry.kind, entry.kind),
        input_modalities=["text", *images],
        output_modalities=[_OUTPUT.get(entry.kind, "text")],
        supported_features=list(entry.features),
        context_length=entry.context_tokens,
        provider_count=entry.workers,
    )


def from_models(entries: tuple[ModelEntry, ...]) -> models.ModelList:
    """Return the list."""
    return models.ModelList(data=[from_model(entry) for entry in entries])


def named(entries: tuple[ModelEntry, ...], name: str) -> ModelEntry:
    """Return the model of this name. Raises `NotFound`."""
    found = next((entry for entry in entries if entry.model == name), None)
    if found is None:
        raise NotFound(f"there is no model {name[:200]!r} online", "model")
    return found
