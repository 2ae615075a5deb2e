"""What an OpenAI-compatible engine serves: names from `/v1/models`, details from wherever it keeps them."""

from __future__ import annotations

import asyncio

import aiohttp
import msgspec

from gridloom_contract.vocabulary import Kind
from gridloom_contract.work import Offer
from gridloom_domain.errors import Upstream
from gridloom_domain.models import VISION, family_of
from gridloom_worker.engines.openai_wire import ModelEntry, ModelList, read

_TIMEOUT = aiohttp.ClientTimeout(total=10.0)
_MAX_BODY_BYTES = 8 * 1024 * 1024
_DETAILS_AT_ONCE = 4
_COMPLETION, _EMBEDDING = "completion", "embedding"
_EMBEDS = "embed"
"""In the name of a model of which nothing else is known: `nomic-embed-text`, `text-embedding-3-small`, …"""


class OllamaTag(msgspec.Struct):
    """One model of `/api/tags` or `/api/ps`."""

    name: str
    digest: str = ""


class OllamaTags(msgspec.Struct):
    """The answer of `/api/tags` and `/api/ps`."""

    models: list[OllamaTag] = []


class OllamaDetails(msgspec.Struct):
    """The answer of `/api/show`: `model_info` has `<architecture>.context_length`."""

    model_info: dict[str, object] = {}
    capabilities: list[str] = []


class Discovery:
    """Asks one engine what it offers. Ollama's details are asked once for each version of a model."""

    def __init__(
        self, session: aiohttp.ClientSession, base: str, models: tuple[str, ...], embedders: tuple[str, ...] = ()
    ) -> None:
        self._session = session
        self._base = base
        self._host = base.removesuffix("/v1")
        self._models = frozenset(models)
        self._embedders = frozenset(embedders)
        self._details: dict[tuple[str, str], OllamaDetails] = {}

    async def offers(self) -> tuple[Offer, ...]:
        """Return the offers by name; none if nobody listens there. Raises `FaultError` if the answer makes no sense."""
        try:
            found = await (self._of_ollama() if await self._is_ollama() else self._of_openai())
        except aiohttp.ClientConnectorError:
            return ()
        except (aiohttp.ClientError, OSError, ValueError, RecursionError) as error:
            raise Upstream(f"the engine does not list its models ({type(error).__name__})") from error
        wanted = (offer for offer in found if not self._models or offer.model in self._models)
        return tuple(sorted(wanted, key=lambda offer: offer.model))

    async def _of_openai(self) -> list[Offer]:
        listed = read(await self._get(f"{self._base}/models"), ModelList)
        return [_offer_of(entry, embeds=entry.id in self._embedders) for entry in listed.data]

    async def _is_ollama(self) -> bool:
        """Others answer `/api/tags` too, but only Ollama tells its version."""
        async with self._session.get(f"{self._host}/api/version", timeout=_TIMEOUT) as response:
            return response.status == 200 and b'"version"' in await _body(response)

    async def _of_ollama(self) -> list[Offer]:
        tags = read(await self._get(f"{self._host}/api/tags"), OllamaTags).models
        loaded = {tag.name for tag in read(await self._get(f"{self._host}/api/ps"), OllamaTags).models}
        gate = asyncio.Semaphore(_DETAILS_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(self._show(tag, gate)) for tag in tags]
        self._details = {(tag.name, tag.digest): task.result() for tag, task in zip(tags, asked, strict=True)}
        return [_offer_of_ollama(tag.name, self._details[tag.name, tag.digest], tag.name in loaded) for tag in tags]

    async def _show(self, tag: OllamaTag, gate: asyncio.Semaphore) -> OllamaDetails:
        known = self._details.get((tag.name, tag.digest))
        if known is not None:
            return known
        try:
            async with gate:
                return read(await self._ask_show(tag.name), OllamaDetails)
        except (aiohttp.ClientError, OSError, ValueError, RecursionError):
            return OllamaDetails()  # a model without details is still a model

    async def _ask_show(self, model: str) -> bytes:
        question = msgspec.json.encode({"model": model})
        async with self._session.post(f"{self._host}/api/show", data=question, timeout=_TIMEOUT) as response:
            response.raise_for_status()
            return await _body(response)

    async def _get(self, url: str) -> bytes:
        async with self._session.get(url, timeout=_TIMEOUT) as response:
            response.raise_for_status()
            return await _body(response)


def base_of(url: str) -> str:
    """Return the address under which `/models` lies: a bare host gets the usual `/v1`."""
    url = url.rstrip("/")
    return url if "/" in url.partition("://")[2] else f"{url}/v1"


def _offer_of(entry: ModelEntry, *, embeds: bool) -> Offer:
    context = entry.max_model_len or (entry.meta.n_ctx if entry.meta else None)
    inputs = entry.architecture.input_modalities if entry.architecture else []
    return Offer(
        model=entry.id,
        family=family_of(entry.id),
        kind=Kind.EMBEDDING if embeds or _EMBEDS in entry.id.lower() else Kind.CHAT,
        context_tokens=context,
        features=(VISION,) if "image" in inputs else (),
    )


def _offer_of_ollama(name: str, details: OllamaDetails, is_loaded: bool) -> Offer:
    """Ollama says what a model can do. One that completes chats, too."""
    abilities = details.capabilities
    only_embeds = _EMBEDDING in abilities and _COMPLETION not in abilities
    lengths = [value for key, value in details.model_info.items() if key.endswith(".context_length")]
    context = next((value for value in lengths if isinstance(value, int)), None)
    features = tuple(sorted(set(abilities) - {_COMPLETION, "insert"}))
    return Offer(
        model=name,
        family=family_of(name),
        kind=Kind.EMBEDDING if only_embeds else Kind.CHAT,
        context_tokens=context,
        features=features,
        loaded=is_loaded,
    )


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > _MAX_BODY_BYTES:
            raise ValueError(f"more than {_MAX_BODY_BYTES} bytes")
    return bytes(body)
