"""What an engine is found to offer."""

from __future__ import annotations

import msgspec
import pytest

from gridloom_contract.fault import FaultError
from gridloom_contract.vocabulary import Kind
from gridloom_contract.work import Offer
from gridloom_worker.engines.discovery import base_of
from gridloom_worker.engines.openai_http import open_openai_http
from integration.worker.conftest import Employ
from integration.worker.rude_engine import Behave, answers, rude_engine
from integration.worker.scripted import ScriptedScheduler


def lists(*models: object, **fields: object) -> Behave:
    """Answer `/v1/models` with these entries."""
    entries = [{"id": model} if isinstance(model, str) else model for model in models]
    return answers(200, msgspec.json.encode({"data": entries, **fields}))


async def offers_of(models: Behave, *wanted: str) -> tuple[Offer, ...]:
    async with rude_engine(models=models) as server, open_openai_http(server.url, "", wanted) as engine:
        return await engine.discover()


async def test_every_listed_model_is_offered_by_name() -> None:
    assert [offer.model for offer in await offers_of(lists("b:7b", "a"))] == ["a", "b:7b"]


async def test_the_family_is_the_text_before_the_colon() -> None:
    assert [offer.family for offer in await offers_of(lists("qwen3:4b", "some/name"))] == ["qwen3", "some/name"]


async def test_only_the_models_an_operator_names_are_offered() -> None:
    assert [offer.model for offer in await offers_of(lists("a", "b"), "b", "c")] == ["b"]


async def test_vllm_tells_its_context_length() -> None:
    (offer,) = await offers_of(lists({"id": "m", "object": "model", "max_model_len": 32768}))
    assert offer.context_tokens == 32768


async def test_llama_cpp_tells_its_context_length_and_what_it_sees() -> None:
    entry = {"id": "m", "meta": {"n_ctx": 2048}, "architecture": {"input_modalities": ["text", "image"]}}
    (offer,) = await offers_of(lists(entry))
    assert (offer.context_tokens, offer.features) == (2048, ("vision",))


@pytest.mark.parametrize("models", [answers(500), answers(200, b"<html>"), answers(200, b'{"data": 1}')])
async def test_an_engine_that_talks_nonsense_offers_nothing_new(models: Behave) -> None:
    with pytest.raises(FaultError):
        await offers_of(models)


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://h:1/v1/", "http://h:1/v1"),
        ("http://h:1", "http://h:1/v1"),
        ("http://h:1/", "http://h:1/v1"),
        ("http://h:1/openai/v1", "http://h:1/openai/v1"),
    ],
)
def test_a_bare_host_gets_the_usual_path(url: str, base: str) -> None:
    assert base_of(url) == base


async def test_ollama_tells_context_features_and_what_is_loaded() -> None:
    tags = {"models": [{"name": "qwen3:4b", "digest": "1"}, {"name": "embed:1", "digest": "2"}, {"name": "bare:1"}]}

    async def show(request):
        details = {
            "qwen3:4b": {"model_info": {"qwen3.context_length": 40960}, "capabilities": ["completion", "tools"]},
            "embed:1": {"capabilities": ["embedding"]},
        }
        model = msgspec.json.decode(await request.read())["model"]
        return await answers(200 if model in details else 500, msgspec.json.encode(details.get(model)))(request)

    async with rude_engine() as server, open_openai_http(server.url, "", ()) as engine:
        server.paths["/api/version"] = answers(200, b'{"version": "0.6"}')
        server.paths["/api/tags"] = answers(200, msgspec.json.encode(tags))
        server.paths["/api/ps"] = answers(200, b'{"models": [{"name": "qwen3:4b"}]}')
        server.paths["/api/show"] = show
        offers = await engine.discover()
        asked = len(server.bodies)
        assert await engine.discover() == offers
    bare, embedder, qwen = offers
    assert (embedder.model, embedder.kind) == ("embed:1", Kind.EMBEDDING)
    assert qwen == Offer(model="qwen3:4b", family="qwen3", context_tokens=40960, features=("tools",), loaded=True)
    assert (bare.model, bare.context_tokens, bare.loaded) == ("bare:1", None, False)
    assert asked == 3, "a model's details are asked for once"


async def test_a_change_of_models_is_told_by_a_hello(employ: Employ, scheduler: ScriptedScheduler) -> None:
    async with rude_engine(models=lists("a")) as server:
        await employ(engine="openai_http", url=server.url, models=(), discovery_seconds=0.05)
        server.paths["/v1/models"] = lists("a", "b")
        hello = await scheduler.hellos.next(lambda _: True)
        assert [offer.model for offer in hello.offers] == ["a", "b"]


async def test_an_engine_that_goes_away_is_told_by_a_hello_and_so_is_its_return(
    employ: Employ, scheduler: ScriptedScheduler
) -> None:
    async with rude_engine(models=lists("a")) as server:
        await employ(engine="openai_http", url=server.url, models=(), discovery_seconds=0.05)
        server.paths["/v1/models"] = lists()
        await scheduler.hellos.next(lambda hello: not hello.offers)
        server.paths["/v1/models"] = lists("a")
        await scheduler.hellos.next(lambda hello: bool(hello.offers))


async def test_an_engine_in_trouble_keeps_its_last_offers(employ: Employ, scheduler: ScriptedScheduler) -> None:
    async with rude_engine(models=lists("a")) as server:
        await employ(engine="openai_http", url=server.url, models=(), discovery_seconds=0.05)
        server.paths["/v1/models"] = answers(500)
        beats = [await scheduler.heartbeats.next(lambda _: True) for _ in range(3)]
    assert [beat.loaded for beat in beats] == [("a",)] * 3


async def test_a_model_makes_embeddings_if_an_operator_or_its_name_says_so() -> None:
    models = lists("bge", "qwen3", "nomic-embed-text")
    async with rude_engine(models=models) as server, open_openai_http(server.url, "", (), ("bge",)) as engine:
        kinds = {offer.model: offer.kind for offer in await engine.discover()}
    assert kinds == {"bge": Kind.EMBEDDING, "nomic-embed-text": Kind.EMBEDDING, "qwen3": Kind.CHAT}
