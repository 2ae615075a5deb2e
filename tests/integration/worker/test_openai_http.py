"""The engine that speaks OpenAI, against a server that may do anything."""

from __future__ import annotations

import asyncio
import gzip

import msgspec
import pytest
from aiohttp import web

from gridloom_contract.fault import Fault, FaultCode, FaultError
from gridloom_contract.jobs import Task
from gridloom_contract.vocabulary import Kind
from gridloom_local.servers import free_port
from gridloom_testing.builders import an_order
from gridloom_worker.engines import openai_http
from gridloom_worker.engines.engine import Ending, TokenCounts
from gridloom_worker.engines.openai_http import open_openai_http
from integration.worker.rude_engine import (
    GOOD_STREAM,
    USAGE,
    Behave,
    answers,
    breaks_off,
    frame,
    rude_engine,
    streams,
)


async def ask(behave: Behave, task: Task | None = None) -> tuple[str, Ending]:
    """Return what the engine says to a job, and how it ended."""
    said: list[str] = []
    async with rude_engine(chat=behave, completions=behave) as server, open_openai_http(server.url, "", ()) as engine:
        ending = await engine.run(an_order(task=task or Task(prompt="Hi")), said.append)
    return "".join(said), ending


async def fault_of(behave: Behave) -> Fault:
    """Return the fault with which a job ends."""
    with pytest.raises(FaultError) as failed:
        await ask(behave)
    return failed.value.fault


async def test_a_stream_is_handed_on_with_its_usage_and_reason() -> None:
    text, ending = await ask(streams(*GOOD_STREAM))
    assert text == "Hello"
    assert ending == Ending(finish_reason="stop", usage=TokenCounts(tokens_in=3, tokens_out=2))


async def test_a_kept_connection_that_the_engine_closes_meanwhile_costs_no_attempt() -> None:
    connections: list[asyncio.Transport] = []

    async def behave(request: web.Request) -> web.StreamResponse:
        assert isinstance(request.transport, asyncio.Transport)
        connections.append(request.transport)
        return await streams(*GOOD_STREAM)(request)

    said: list[str] = []
    async with rude_engine(chat=behave) as server, open_openai_http(server.url, "", ()) as engine:
        await engine.run(an_order(task=Task(prompt="Hi")), said.append)
        connections[0].close()
        await engine.run(an_order(task=Task(prompt="Hi")), said.append)

    assert "".join(said) == "HelloHello"
    assert len(server.bodies) == len(connections) == 2


async def test_a_completion_is_handed_on() -> None:
    stream = (
        b'data: {"choices":[{"index":0,"text":"On"}]}\n\n',
        b'data: {"choices":[{"text":"ce","finish_reason":"length"}]}\n\n',
    )
    text, ending = await ask(streams(*stream), Task(kind=Kind.COMPLETION, prompt="x"))
    assert (text, ending.finish_reason) == ("Once", "length")


async def test_an_answer_in_one_piece_is_taken_too() -> None:
    whole = {"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}], "usage": USAGE}
    text, ending = await ask(answers(200, msgspec.json.encode(whole)))
    assert (text, ending.usage) == ("Hello", TokenCounts(tokens_in=3, tokens_out=2))


async def test_frames_may_be_cut_anywhere() -> None:
    whole = b"".join(GOOD_STREAM)
    assert (await ask(streams(*(whole[index : index + 7] for index in range(0, len(whole), 7)))))[0] == "Hello"


async def test_crlf_comments_and_a_missing_blank_are_no_matter() -> None:
    stream = b": ping\r\n\r\n" + b"".join(GOOD_STREAM).replace(b"\n", b"\r\n").replace(b"data: ", b"data:")
    assert (await ask(streams(stream)))[0] == "Hello"


@pytest.mark.parametrize("left_out", [1, 2], ids=["DONE", "DONE and usage"])
async def test_a_stream_with_a_reason_is_complete_without_its_end(left_out: int) -> None:
    assert (await ask(streams(*GOOD_STREAM[:-left_out])))[0] == "Hello"


async def test_a_connection_that_drops_after_the_reason_costs_nothing() -> None:
    assert (await ask(breaks_off(*GOOD_STREAM[:3])))[0] == "Hello"


async def test_what_comes_after_the_end_is_not_waited_for() -> None:
    text, _ = await asyncio.wait_for(ask(streams(*GOOD_STREAM, b": ping\n\n", pause_seconds=0.3)), 5)
    assert text == "Hello"


async def test_only_the_first_of_several_choices_is_the_answer() -> None:
    other = b'data: {"choices":[{"index":1,"delta":{"content":"no"}}]}\n\n'
    assert (await ask(streams(other, *GOOD_STREAM)))[0] == "Hello"


async def test_usage_that_nobody_counts_is_left_open() -> None:
    assert (await ask(streams(*GOOD_STREAM[:3])))[1].usage == TokenCounts()


@pytest.mark.parametrize("behave", [streams(*GOOD_STREAM[:2]), breaks_off(*GOOD_STREAM[:2]), streams()])
async def test_an_answer_that_stops_in_the_middle_may_go_better_elsewhere(behave: Behave) -> None:
    fault = await fault_of(behave)
    assert (fault.code, fault.retryable) == (FaultCode.UPSTREAM, True)


@pytest.mark.parametrize("status", [400, 413, 415, 422])
async def test_a_refused_request_is_the_callers_mistake(status: int) -> None:
    fault = await fault_of(answers(status, b'{"error": {"message": "max_tokens must be positive"}}'))
    assert (fault.code, fault.retryable) == (FaultCode.INVALID, False)
    assert "max_tokens must be positive" in fault.message


@pytest.mark.parametrize("status", [401, 403, 404, 408, 429, 500, 502, 503, 302])
async def test_any_other_refusal_may_go_better_elsewhere(status: int) -> None:
    fault = await fault_of(answers(status, b"busy", "text/plain", Location="http://127.0.0.1:1/"))
    assert (fault.code, fault.retryable) == (FaultCode.UPSTREAM, True)
    assert "busy" in fault.message


async def test_the_engines_own_words_are_bounded() -> None:
    fault = await fault_of(answers(400, b"\xc3\xa4" * 1_000_000, "text/html"))
    assert len(fault.message.encode()) < 1200


@pytest.mark.parametrize(
    "last",
    [
        b'data: {"error": {"message": "context too long", "code": 400}}\n\n',
        b'event: error\ndata: {"message": "context too long", "code": 400}\n\n',
        b'error: {"message": "context too long", "code": 400}\n\n',
    ],
)
async def test_an_error_in_mid_stream_ends_the_job(last: bytes) -> None:
    fault = await fault_of(streams(GOOD_STREAM[0], last))
    assert (fault.code, fault.retryable) == (FaultCode.INVALID, False)
    assert "context too long" in fault.message


async def test_an_error_in_mid_stream_without_a_status_may_go_better_elsewhere() -> None:
    fault = await fault_of(streams(b'data: {"error": "out of memory"}\n\n'))
    assert (fault.code, fault.retryable) == (FaultCode.UPSTREAM, True)


@pytest.mark.parametrize(
    "nonsense", [b"data: <html>\n\n", b"data: " + b"[" * 100_000 + b"\n\n", b'data: {"choices": 7}\n\n']
)
async def test_nonsense_is_bad_output(nonsense: bytes) -> None:
    assert (await fault_of(streams(nonsense))).code is FaultCode.BAD_OUTPUT


async def test_a_line_that_never_ends_is_bad_output_and_costs_little() -> None:
    async def behave(request):
        return await streams(*([b"x" * 1_000_000] * 1000))(request)

    assert (await fault_of(behave)).code is FaultCode.BAD_OUTPUT


async def test_a_body_that_never_ends_is_bad_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_http, "MAX_BODY_BYTES", 100_000)
    fault = await fault_of(streams(*([b" " * 100_000] * 10), content_type="application/json"))
    assert fault.code is FaultCode.BAD_OUTPUT


async def test_a_stream_of_nothing_is_bounded_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_http, "MAX_STREAM_BYTES", 100_000)
    assert (await fault_of(streams(*([b": ping\n\n" * 1000] * 50)))).code is FaultCode.BAD_OUTPUT


async def test_a_compressed_answer_is_never_inflated() -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    body = {"Content-Encoding": "gzip"}
    assert (await fault_of(answers(200, bomb, "application/json", **body))).code is FaultCode.BAD_OUTPUT


async def test_half_an_emoji_and_a_nul_do_not_end_the_job() -> None:
    stream = (b'data: {"choices":[{"delta":{"content":"a\\ud83d\\u0000"}}]}\n\n', *GOOD_STREAM[2:])
    assert (await ask(streams(*stream)))[0] == "a\ufffd\0"


async def test_an_engine_that_is_not_there_may_come_back() -> None:
    async with open_openai_http(f"http://127.0.0.1:{free_port()}", "", ()) as engine:
        with pytest.raises(FaultError) as failed:
            await engine.run(an_order(), lambda _: None)
        assert failed.value.fault.retryable
        assert engine.unsettled.is_set()
        assert await engine.discover() == ()


async def test_canceling_hangs_up_on_the_engine() -> None:
    async def forever(request):
        return await streams(*GOOD_STREAM[:2], *([b": ping\n\n"] * 1000), pause_seconds=0.02)(request)

    said: list[str] = []
    async with rude_engine(chat=forever) as server, open_openai_http(server.url, "", ()) as engine:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(engine.run(an_order(), said.append), 0.2)
        await asyncio.wait_for(server.gone.wait(), 1.0)
    assert said[0] == "Hel"


async def test_the_engines_key_and_the_callers_words_reach_the_engine() -> None:
    async with rude_engine(chat=streams(*GOOD_STREAM)) as server, open_openai_http(server.url, "sesame", ()) as engine:
        await engine.run(an_order(model="m", task=Task(prompt="Hi", params={"top_k": 3})), lambda _: None)
    assert server.headers[0]["Authorization"] == "Bearer sesame"
    assert server.bodies[0]["top_k"] == 3
    assert server.bodies[0]["messages"] == [{"role": "user", "content": "Hi"}]


async def test_what_the_worker_cannot_do_is_refused() -> None:
    async with open_openai_http("http://127.0.0.1:1", "", ()) as engine:
        with pytest.raises(FaultError) as failed:
            await engine.run(an_order(task=Task(kind=Kind.EMBEDDING, prompt="x")), lambda _: None)
    assert failed.value.fault.code is FaultCode.INVALID


async def test_a_piece_is_handed_on_before_the_next_is_there() -> None:
    first = asyncio.get_running_loop().create_future()

    async def slow(request):
        return await streams(frame("one"), frame("two", finish="stop"), pause_seconds=0.5)(request)

    async with (
        rude_engine(chat=slow) as server,
        open_openai_http(server.url, "", ()) as engine,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(engine.run(an_order(), lambda piece: first.done() or first.set_result(piece)))
        assert await asyncio.wait_for(first, 0.4) == "one"
