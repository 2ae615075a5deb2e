"""The command as an operator meets it: what it says, how it ends."""

from __future__ import annotations

import asyncio

import aiohttp

from gridloom_local.servers import free_port
from gridloom_testing.builders import a_worker_id, a_worker_token
from gridloom_testing.servers import NatsServer
from integration.worker.conftest import Launch
from integration.worker.scripted import ScriptedScheduler


async def test_a_refused_token_says_what_to_do_without_showing_it_and_exits(launch: Launch, refusal: None) -> None:
    token = a_worker_token(worker := a_worker_id())
    code, said = await asyncio.wait_for((await launch(token=token)).ended(), 20)
    assert code == 1
    assert f"refuses the token of worker {worker}" in said
    assert "gridloom workers" in said
    assert "Traceback" not in said
    assert token.rsplit("_", 1)[-1] not in said


async def test_while_nobody_checks_tokens_it_waits(launch: Launch, nats_server: NatsServer) -> None:
    worker = await launch()
    await worker.said("is the scheduler running?")
    worker.terminate()
    assert (await asyncio.wait_for(worker.ended(), 10))[0] == 0


async def test_an_unreachable_server_is_waited_for(launch: Launch) -> None:
    worker = await launch(nats=f"nats://127.0.0.1:{free_port()}")
    await worker.said("worker.waiting_for_nats")
    worker.terminate()
    assert (await asyncio.wait_for(worker.ended(), 10))[0] == 0


async def test_it_stops_on_sigterm(launch: Launch, scheduler: ScriptedScheduler) -> None:
    worker = await launch(a_worker_id())
    await scheduler.heartbeats.until(lambda beat: beat.worker == worker.id)
    worker.terminate()
    code, said = await asyncio.wait_for(worker.ended(), 10)
    assert code == 0
    assert "Traceback" not in said, said


async def test_neither_prompts_nor_answers_are_logged_and_the_work_is_measured(
    launch: Launch, scheduler: ScriptedScheduler
) -> None:
    port = free_port()
    worker = await launch(None, "--internal-port", str(port), "--log-level", "debug", "--models", "synthetic")
    await scheduler.heartbeats.until(lambda beat: beat.worker == worker.id)
    order = await scheduler.give(worker.order("xyzzy [[tokens=20]] [[rate=1000]]"))
    result = await scheduler.results.until(lambda each: each.job == order.job)
    await scheduler.heartbeats.next(lambda beat: not beat.holding)
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as page:
        metrics = await page.text()
    worker.terminate()
    _, said = await asyncio.wait_for(worker.ended(), 10)
    assert order.job in said
    assert "xyzzy" not in said
    assert result.output not in said
    for name in ("worker_slots", "time_to_first_token_seconds", "output_tokens_per_second"):
        assert f"gridloom_{name}" in metrics
    assert "gridloom_worker_results_unconfirmed 0.0" in metrics


async def test_an_engine_that_cannot_start_says_so(launch: Launch, scheduler: ScriptedScheduler) -> None:
    worker = await launch(None, "--engine", "llamacpp", "--model", "/nowhere/model.gguf")
    code, said = await asyncio.wait_for(worker.ended(), 10)
    assert (code, said.strip().splitlines()[-1]) == (1, "gridloom-worker: there is no model file /nowhere/model.gguf")
