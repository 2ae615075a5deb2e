"""The engine that makes words up."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom_contract.fault import FaultCode, FaultError
from gridloom_contract.jobs import Task
from gridloom_testing.builders import an_order
from gridloom_worker.engines.engine import Ending
from gridloom_worker.engines.synthetic import Synthetic, SyntheticPlan, words_in

PLAIN = SyntheticPlan(tokens=8)


async def answer(prompt: str, plan: SyntheticPlan = PLAIN, **params: object) -> tuple[str, Ending]:
    said: list[str] = []
    order = an_order(task=Task(prompt=prompt, params=params))
    ending = await Synthetic(("synthetic",), plan).run(order, said.append)
    return "".join(said), ending


async def test_the_same_prompt_has_the_same_answer_and_another_another() -> None:
    assert await answer("a") == await answer("a")
    assert (await answer("a"))[0] != (await answer("b"))[0]


async def test_an_answer_has_the_tokens_it_should_have() -> None:
    text, ending = await answer("[[tokens=30]]")
    assert len(text.split()) == ending.usage.tokens_out == 30


async def test_an_answer_can_be_made_large_by_saying_each_token_many_times() -> None:
    short, _ = await answer("[[tokens=3]] [[repeat=1]]  ")
    large, ending = await answer("[[tokens=3]] [[repeat=5]]  ")
    words = large.split()
    assert len(words) == ending.usage.tokens_out == 15
    assert " ".join(words) == large
    assert [len(set(words[start : start + 5])) for start in (0, 5, 10)] == [1, 1, 1]
    assert len(short.split()) == 3


@given(st.lists(st.sampled_from([" ", "\n", "a", "bc", "x" * 300_000, " " * 300_000]), max_size=8).map("".join))
def test_words_are_counted_as_split_does(text: str) -> None:
    assert words_in(text) == len(text.split())


async def test_max_tokens_cuts_the_answer_short() -> None:
    text, ending = await answer("a", max_tokens=3)
    assert (len(text.split()), ending.finish_reason) == (3, "length")


async def test_messages_are_read_as_well_as_prompts() -> None:
    order = an_order(task=Task(messages=({"role": "user", "content": "[[tokens=2]]"},)))
    said: list[str] = []
    await Synthetic(("synthetic",), PLAIN).run(order, said.append)
    assert len(said) == 2


@pytest.mark.parametrize(
    ("prompt", "code", "retryable"),
    [("[[fail]]", FaultCode.UPSTREAM, True), ("[[reject]]", FaultCode.INVALID, False)],
)
async def test_it_fails_as_it_is_told_to(prompt: str, code: FaultCode, retryable: bool) -> None:
    with pytest.raises(FaultError) as failed:
        await answer(prompt)
    assert (failed.value.fault.code, failed.value.fault.retryable) == (code, retryable)


async def test_it_hangs_as_it_is_told_to_until_it_is_canceled() -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(answer("[[hang]]"), 0.05)


async def test_it_keeps_to_its_rate() -> None:
    began = asyncio.get_running_loop().time()
    await answer("a", SyntheticPlan(tokens=11, tokens_per_second=100, first_token_seconds=0.1))
    assert 0.2 <= asyncio.get_running_loop().time() - began < 1.0


async def test_it_lets_others_work_while_it_goes_as_fast_as_it_can() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(other())
        await answer("[[tokens=1000]]")
        task.cancel()
    assert turns >= 10


async def test_each_model_is_offered_with_its_family() -> None:
    offers = await Synthetic(("a:1b", "b"), PLAIN).discover()
    assert [(offer.model, offer.family) for offer in offers] == [("a:1b", "a"), ("b", "b")]
