"""Answers without a model: at a set rate and size, always the same text for the same prompt. For load and fault tests.

A prompt may carry directives: `[[tokens=50]] [[rate=100]] [[first=0.5]]` (tokens, tokens a second, seconds to the first
token), `[[repeat=1000]]` (each token so often, for answers of megabytes), `[[fail]]` (retryable), `[[reject]]` (the
caller's mistake), `[[hang]]` (no word until canceled), `[[crash]]` (the worker's process dies), each after the tokens
before it: `[[tokens=5]] [[fail]]` fails after five. Of images it says first what it saw: type, size and checksum.
"""

from __future__ import annotations

import asyncio
import os
import re
from binascii import a2b_base64
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any
from zlib import crc32

import msgspec

from gridloom_contract.jobs import Task
from gridloom_contract.vocabulary import Kind
from gridloom_contract.work import Offer, WorkOrder
from gridloom_domain.errors import Invalid, Upstream
from gridloom_domain.models import family_of
from gridloom_worker.engines.engine import Emit, Ending, TokenCounts

CRASH_EXIT_CODE = 70
_DIRECTIVE = re.compile(r"\[\[(\w+)(?:=([\d.]+))?\]\]")
_DATA_URL = re.compile(r"data:(?P<type>[\w/+.-]+);base64,(?P<data>[A-Za-z0-9+/=]*)\Z")
_BREATH_TOKENS = 64
_SLICE_CHARACTERS = 256 * 1024
_WORDS = (
    *("thread", "loom", "weave", "grid", "shuttle", "warp", "weft", "knot", "fibre", "pattern", "spindle", "cloth"),
    *("needle", "ribbon", "bobbin", "selvage", "twill", "satin", "linen", "cotton", "silk", "wool", "hemp", "jute"),
    *("felt", "lace", "braid", "seam", "hem", "stitch", "patch", "quilt"),
)


class SyntheticPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How to answer. `tokens_per_second` 0 is as fast as possible; `mode` is what happens after the tokens.

    Each token is said `repeat` times at once.
    """

    tokens: int = 16
    repeat: int = 1
    tokens_per_second: float = 0.0
    first_token_seconds: float = 0.0
    mode: str = "stop"


class Synthetic:
    """An engine that makes words up."""

    name = "synthetic"

    def __init__(self, models: tuple[str, ...], plan: SyntheticPlan) -> None:
        self.unsettled = asyncio.Event()
        self._models = models
        self._plan = plan

    async def discover(self) -> tuple[Offer, ...]:
        """Return the models it pretends to have."""
        return tuple(Offer(model=model, family=family_of(model)) for model in self._models)

    async def run(self, order: WorkOrder, emit: Emit) -> Ending:
        """Answer as the settings, the parameters and the prompt's directives say."""
        if order.task.kind not in (Kind.CHAT, Kind.COMPLETION):
            raise Invalid(f"this worker cannot do {order.task.kind}")
        asked = _asked(order.task)
        plan = planned(self._plan, asked, order.task.params)
        if plan.first_token_seconds:
            await asyncio.sleep(plan.first_token_seconds)
        for sight in sights(order.task):
            emit(f"{sight} ")
        await _speak(plan, crc32(asked.encode(errors="replace")), emit)
        await _MODES[plan.mode]()
        is_cut = order.task.params.get("max_tokens") == plan.tokens
        return Ending(
            finish_reason="length" if is_cut else "stop",
            usage=TokenCounts(tokens_in=words_in(asked), tokens_out=plan.tokens * plan.repeat),
        )

    async def close(self) -> None:
        """Nothing to give back."""


@asynccontextmanager
async def open_synthetic(models: tuple[str, ...], plan: SyntheticPlan) -> AsyncIterator[Synthetic]:
    """Yield the engine; `models` are the names it offers."""
    yield Synthetic(models, plan)


def planned(plan: SyntheticPlan, prompt: str, params: dict[str, Any]) -> SyntheticPlan:
    """Return `plan` as changed by the prompt's directives, cut to the parameter `max_tokens`."""
    changes: dict[str, Any] = {}
    for name, value in _DIRECTIVE.findall(prompt):
        if name in _MODES:
            changes["mode"] = name
        elif name in _NUMBERS and value:
            field, kind = _NUMBERS[name]
            changes[field] = kind(float(value))
    limit = params.get("max_tokens")
    tokens = changes.get("tokens", plan.tokens)
    if isinstance(limit, int) and limit >= 0:
        tokens = min(tokens, limit)
    return msgspec.structs.replace(plan, **{**changes, "tokens": tokens})


def sights(task: Task) -> list[str]:
    """Return what the engine sees in each image of the task: `image/png of 70 bytes, crc32 8e7f1bd2`."""
    found = []
    for part in _parts(task):
        holder = part.get("image_url")
        image = _DATA_URL.match(str(holder.get("url"))) if isinstance(holder, dict) else None
        if image is not None:
            content = a2b_base64(image["data"])
            found.append(f"{image['type']} of {len(content)} bytes, crc32 {crc32(content):08x}")
    return found


def word(seed: int, index: int) -> str:
    """Return the token at `index` of the answer to the prompt with this `seed`, with the blank before it."""
    pick = crc32(index.to_bytes(4, "big"), seed) % len(_WORDS)
    return _WORDS[pick] if index == 0 else f" {_WORDS[pick]}"


def repeated(token: str, times: int) -> str:
    """Return a token said several times, with a blank between."""
    blank = token[: len(token) - len(token.lstrip())]
    return blank + " ".join([token.strip()] * times)


def words_in(text: str) -> int:
    """Return how many words a text has, without making a list of them all."""
    count, was_in_word = 0, False
    for start in range(0, len(text), _SLICE_CHARACTERS):
        piece = text[start : start + _SLICE_CHARACTERS]
        count += len(piece.split()) - (was_in_word and not piece[0].isspace())
        was_in_word = not piece[-1].isspace()
    return count


async def _speak(plan: SyntheticPlan, seed: int, emit: Emit) -> None:
    """Keep to the rate on average: a late wake-up is made good by several tokens at once, as real engines do."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for index in range(plan.tokens):
        if plan.tokens_per_second:
            await asyncio.sleep(max(0.0, began + index / plan.tokens_per_second - loop.time()))
        elif index % _BREATH_TOKENS == _BREATH_TOKENS - 1:
            await asyncio.sleep(0)
        token = word(seed, index)
        emit(token if plan.repeat == 1 else repeated(token, plan.repeat))


def _asked(task: Task) -> str:
    if task.messages is None:
        return task.prompt or ""
    return "\n".join(_text_of(message.get("content")) for message in task.messages)


def _text_of(content: Any) -> str:
    if not isinstance(content, list):
        return str(content)
    return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))


def _parts(task: Task) -> Iterator[dict[str, Any]]:
    for message in task.messages or ():
        content = message.get("content")
        yield from (part for part in content if isinstance(part, dict)) if isinstance(content, list) else ()


async def _stop() -> None:
    return None


async def _fail() -> None:
    raise Upstream("the synthetic engine failed as it was told to")


async def _reject() -> None:
    raise Invalid("the synthetic engine refused the prompt as it was told to")


async def _hang() -> None:
    await asyncio.Event().wait()


async def _crash() -> None:
    os._exit(CRASH_EXIT_CODE)


_MODES: dict[str, Callable[[], Any]] = {
    "stop": _stop,
    "fail": _fail,
    "reject": _reject,
    "hang": _hang,
    "crash": _crash,
}
_NUMBERS: dict[str, tuple[str, Callable[[float], float]]] = {
    "tokens": ("tokens", int),
    "repeat": ("repeat", int),
    "rate": ("tokens_per_second", float),
    "first": ("first_token_seconds", float),
}
