"""Several prompts in one task: answered in their order, and one text in the end."""

from __future__ import annotations

import asyncio

import pytest

from gridloom_contract.fault import FaultError
from gridloom_contract.work import Offer, WorkOrder
from gridloom_domain.errors import Upstream
from gridloom_testing.builders import a_task, an_order
from gridloom_worker.engines.engine import Emit, Ending, TokenCounts
from gridloom_worker.rounds import answered, together


class Echo:
    """An engine that answers with the prompt, and fails on a bad one."""

    name = "echo"

    def __init__(self) -> None:
        self.unsettled = asyncio.Event()
        self.asked: list[WorkOrder] = []

    async def discover(self) -> tuple[Offer, ...]:
        return ()

    async def run(self, order: WorkOrder, emit: Emit) -> Ending:
        self.asked.append(order)
        if order.task.prompt == "bad":
            raise Upstream("no")
        emit(f"<{order.task.prompt}>")
        return Ending(finish_reason="stop", usage=TokenCounts(tokens_in=1, tokens_out=2))

    async def close(self) -> None:
        return None


async def run(*inputs: str, prompt: str | None = None) -> tuple[str, Ending, Echo]:
    engine, said = Echo(), list[str]()
    order = an_order(task=a_task(messages=None, prompt=prompt, inputs=inputs))
    ending = await answered(engine, order, said.append)
    return "".join(said), ending, engine


async def test_a_single_prompt_is_handed_on_as_it_is() -> None:
    text, _, engine = await run(prompt="only")

    assert text == "<only>"
    assert engine.asked[0].task.prompt == "only"


async def test_several_are_answered_in_order_with_a_blank_line_between() -> None:
    text, ending, engine = await run("one", "two", "three")

    assert text == "<one>\n\n<two>\n\n<three>"
    assert (ending.usage.tokens_in, ending.usage.tokens_out, ending.finish_reason) == (3, 6, "stop")
    assert all(order.task.inputs == () for order in engine.asked)


async def test_the_first_that_fails_ends_it() -> None:
    with pytest.raises(FaultError):
        await run("one", "bad", "three")


def test_what_one_did_not_count_is_not_known_and_one_that_is_cut_off_counts() -> None:
    cut = Ending(finish_reason="length", usage=TokenCounts(tokens_in=1))
    ending = together([cut, Ending(finish_reason="stop", usage=TokenCounts(tokens_in=2, tokens_out=3))])

    assert (ending.finish_reason, ending.usage) == ("length", TokenCounts(tokens_in=3))
