"""Models, with what inference.club tells about them beside OpenAI's four fields."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Model(Struct, frozen=True, kw_only=True):
    """A model that is online. `context_length` is in tokens; `provider_count` workers serve it."""

    id: str
    created: int
    owned_by: str
    service_type: str
    input_modalities: list[str]
    output_modalities: list[str]
    supported_features: list[str]
    context_length: int | None
    provider_count: int
    object: Literal["model"] = "model"


class ModelList(Struct, frozen=True, kw_only=True):
    """All models that are online."""

    data: list[Model]
    object: Literal["list"] = "list"
