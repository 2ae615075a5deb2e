"""Makes the GGUF file of a BERT model that embeds out of its safetensors, so that llama.cpp can serve it.

Small embedding models are published as safetensors; nothing else is needed to read those: a header of JSON, then the
tensors as they are. What llama.cpp calls them, and how it wants the vocabulary, is its convention for BERT.
(GGUF: ggml's docs/gguf.md, version 3. Safetensors: huggingface/safetensors, Format.)
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

_ALIGNMENT = 32
_F32 = 0
_COPY_BYTES = 1024 * 1024
_WORD = "\N{LOWER ONE EIGHTH BLOCK}"
"""Stands before whatever begins a word."""
_CONTINUED = "##"
_NORMAL, _CONTROL = 1, 3
_MEAN = 1

_PARTS = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
_LAYER = re.compile(r"(?:encoder\.layer\.(?P<layer>\d+)\.)?(?P<part>.+)\.(?P<what>weight|bias)")


class _Shape(msgspec.Struct):
    """The parts of `config.json` that say what the model looks like."""

    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_hidden_layers: int
    max_position_embeddings: int
    layer_norm_eps: float


@dataclass(frozen=True)
class _Tensor:
    name: str
    shape: tuple[int, ...]
    start: int
    size_bytes: int


def write_gguf(folder: Path, target: Path, name: str) -> None:
    """Write the model in `folder` (config, vocabulary, safetensors) to `target`, whole or not at all.

    Raises OSError, or ValueError if it is no BERT model with float32 weights.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    with (folder / "model.safetensors").open("rb") as source, part.open("wb") as file:
        tensors = list(_tensors_in(source))
        file.write(_header(folder, name, tensors))
        for tensor in tensors:
            _copy(source, tensor, file)
    part.replace(target)


def _header(folder: Path, name: str, tensors: list[_Tensor]) -> bytes:
    facts = {**_facts_of(folder, name), **_vocabulary_of(folder)}
    entries = b"".join(_string(key) + value for key, value in facts.items())
    start = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(facts)) + entries + b"".join(_places(tensors))
    return start + bytes(-len(start) % _ALIGNMENT)


def _facts_of(folder: Path, name: str) -> dict[str, bytes]:
    shape = msgspec.json.decode((folder / "config.json").read_bytes(), type=_Shape)
    counts = {
        "context_length": shape.max_position_embeddings,
        "embedding_length": shape.hidden_size,
        "feed_forward_length": shape.intermediate_size,
        "block_count": shape.num_hidden_layers,
        "attention.head_count": shape.num_attention_heads,
        "pooling_type": _MEAN,
    }
    return {
        "general.architecture": _text("bert"),
        "general.name": _text(name),
        "bert.attention.layer_norm_epsilon": struct.pack("<If", 6, shape.layer_norm_eps),
        "bert.attention.causal": struct.pack("<I?", 7, False),
        **{f"bert.{key}": _count(value) for key, value in counts.items()},
    }


def _vocabulary_of(folder: Path) -> dict[str, bytes]:
    words = (folder / "vocab.txt").read_text().removesuffix("\n").split("\n")
    special = {role: words.index(f"[{word}]") for role, word in _SPECIAL.items()}
    tokens = [word if place in special.values() else _spelled(word) for place, word in enumerate(words)]
    kinds = [_CONTROL if place in special.values() else _NORMAL for place in range(len(words))]
    return {
        "tokenizer.ggml.model": _text("bert"),
        "tokenizer.ggml.tokens": struct.pack("<IIQ", 9, 8, len(tokens)) + b"".join(map(_string, tokens)),
        "tokenizer.ggml.token_type": struct.pack(f"<IIQ{len(kinds)}i", 9, 5, len(kinds), *kinds),
        "tokenizer.ggml.token_type_count": _count(2),
        **{f"tokenizer.ggml.{role}_token_id": _count(place) for role, place in special.items()},
    }


_SPECIAL = {"unknown": "UNK", "seperator": "SEP", "padding": "PAD", "cls": "CLS", "mask": "MASK"}
"""Spelled as in ggml's table of keys."""


def _spelled(word: str) -> str:
    return word.removeprefix(_CONTINUED) if word.startswith(_CONTINUED) else _WORD + word


def _tensors_in(source: BinaryIO) -> Iterator[_Tensor]:
    (length,) = struct.unpack("<Q", source.read(8))
    listed: dict[str, Any] = msgspec.json.decode(source.read(length))
    for name, told in listed.items():
        known = _name_of(name)
        if known is None:
            continue
        if told["dtype"] != "F32":
            raise ValueError(f"{name} is of type {told['dtype']}, not F32")
        start, end = told["data_offsets"]
        yield _Tensor(known, tuple(told["shape"]), 8 + length + start, end - start)


def _name_of(name: str) -> str | None:
    """Return what ggml calls a tensor; None for those that embeddings do not need."""
    match = _LAYER.fullmatch(name)
    part = _PARTS.get(match["part"]) if match else None
    if match is None or part is None:
        return None
    return f"{part}.{match['what']}" if match["layer"] is None else f"blk.{match['layer']}.{part}.{match['what']}"


def _places(tensors: list[_Tensor]) -> Iterator[bytes]:
    offset = 0
    for tensor in tensors:
        sizes = tensor.shape[::-1]
        yield _string(tensor.name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, _F32, offset)
        offset += tensor.size_bytes + -tensor.size_bytes % _ALIGNMENT


def _copy(source: BinaryIO, tensor: _Tensor, file: BinaryIO) -> None:
    source.seek(tensor.start)
    left = tensor.size_bytes
    while left:
        left -= file.write(source.read(min(left, _COPY_BYTES)))
    file.write(bytes(-tensor.size_bytes % _ALIGNMENT))


def _string(text: str) -> bytes:
    content = text.encode()
    return struct.pack("<Q", len(content)) + content


def _text(value: str) -> bytes:
    return struct.pack("<I", 8) + _string(value)


def _count(value: int) -> bytes:
    return struct.pack("<II", 4, value)
