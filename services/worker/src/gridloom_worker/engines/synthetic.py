"""Answers without a model: at a set rate and size, always the same text for the same prompt. For load and fault tests.

A prompt may carry directives: `[[tokens=50]] [[rate=100]] [[first=0.5]]` (tokens, tokens a second, seconds to the first
token), `[[repeat=1000]]` (each token so often, for answers of megabytes), `[[fail]]` (retryable), `[[reject]]` (the
caller's mistake), `[[hang]]` (no word until canceled), `[[crash]]` (the worker's process dies), each after the tokens
before it: `[[tokens=5]] [[fail]]` fails after five. Of images it says first what it saw: type, size and checksum.

A model with `embed` in its name makes embeddings and nothing else. What raw tasks get: `synthetic_raw`.
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
from gridloom_worker.engines.synthetic_raw import Frames, messages_of, script_of
from gridloom_worker.engines.synthetic_values import embeddings_of

CRASH_EXIT_CODE = 70
_DIRECTIVE = re.compile(r"\[\[(\w+)(?:=([\d.]+))?\]\]")
_DATA_URL = re.compile(r"data:(?P<type>[\w/+.-]+);base64,(?P<data>[A-Za-z0-9+/=]*)\Z")
_EMBEDDER = "embed"
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
        return tuple(Offer(model=model, family=family_of(model), kind=kind_called(model)) for model in self._models)

    async def run(self, order: WorkOrder, emit: Emit) -> Ending:
        """Answer as the settings, the parameters and the prompt's directives say."""
        task, asked = order.task, _asked(order.task)
        params = task.params if task.raw is None else task.raw
        if kind_called(order.model) is not _trade(task.kind) or (task.kind is Kind.EMBEDDING and task.raw is None):
            raise Invalid(f"the model {order.model} cannot do {task.kind}")
        plan = planned(self._plan, asked, params)
        if plan.first_token_seconds:
            await asyncio.sleep(plan.first_token_seconds)
        if task.kind is Kind.EMBEDDING:
            return await _embed(params, plan)
        if task.raw is not None:
            return await _answer_raw(task, asked, plan, emit)
        for sight in sights(task):
            emit(f"{sight} ")
        await _speak(plan, crc32(asked.encode(errors="replace")), emit)
        await _MODES[plan.mode]()
        counts = TokenCounts(tokens_in=words_in(asked), tokens_out=plan.tokens * plan.repeat)
        return Ending(finish_reason=_reason(plan, params), usage=counts)

    async def close(self) -> None:
        """Nothing to give back."""


@asynccontextmanager
async def open_synthetic(models: tuple[str, ...], plan: SyntheticPlan) -> AsyncIterator[Synthetic]:
    """Yield the engine; `models` are the names it offers."""
    yield Synthetic(models, plan)


def kind_called(model: str) -> Kind:
    """Return what a model of this name does."""
    return Kind.EMBEDDING if _EMBEDDER in model else Kind.CHAT


def planned(plan: SyntheticPlan, prompt: str, params: dict[str, Any]) -> SyntheticPlan:
    """Return `plan` as changed by the prompt's directives, cut to the parameter `max_tokens`."""
    changes: dict[str, Any] = {}
    for name, value in _DIRECTIVE.findall(prompt):
        if name in _MODES:
            changes["mode"] = name
        elif name in _NUMBERS and value:
            field, kind = _NUMBERS[name]
            changes[field] = kind(float(value))
    limit = _limit(params)
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


async def _embed(wish: dict[str, Any], plan: SyntheticPlan) -> Ending:
    await _MODES[plan.mode]()
    body = embeddings_of(wish)
    counts = TokenCounts(tokens_in=body["usage"]["prompt_tokens"], tokens_out=0)
    return Ending(finish_reason="stop", usage=counts, body=msgspec.json.encode(body).decode())


async def _answer_raw(task: Task, asked: str, plan: SyntheticPlan, emit: Emit) -> Ending:
    frames, script, tokens_out = Frames(task, emit), script_of(task, asked), plan.tokens * plan.repeat
    frames.begin()
    if script is not None:
        reason, tokens_out = script(frames), 1
    else:
        for sight in sights(task):
            frames.say(f"{sight} ")
        await _speak(plan, crc32(asked.encode(errors="replace")), frames.say)
        reason = _reason(plan, task.raw or {})
    await _MODES[plan.mode]()
    tokens_in = words_in(asked)
    body = frames.end(reason, tokens_in, tokens_out)
    return Ending(finish_reason=reason, usage=TokenCounts(tokens_in=tokens_in, tokens_out=tokens_out), body=body)


def _reason(plan: SyntheticPlan, params: dict[str, Any]) -> str:
    return "length" if _limit(params) == plan.tokens else "stop"


def _limit(params: dict[str, Any]) -> Any:
    return params.get("max_tokens", params.get("max_completion_tokens"))


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


def _trade(kind: Kind) -> Kind:
    """Return the kind of model that does this."""
    return Kind.CHAT if kind is Kind.COMPLETION else kind


def _asked(task: Task) -> str:
    if task.messages is not None or (task.raw is not None and task.kind is Kind.CHAT):
        return "\n".join(_text_of(message.get("content")) for message in messages_of(task))
    told = task.prompt if task.raw is None else task.raw.get("prompt", task.raw.get("input"))
    return "\n".join(map(str, told)) if isinstance(told, list) else str(told or "")


def _text_of(content: Any) -> str:
    if not isinstance(content, list):
        return str(content)
    return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))


def _parts(task: Task) -> Iterator[dict[str, Any]]:
    for message in messages_of(task):
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
