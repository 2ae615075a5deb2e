"""Tasks of several prompts: the engine answers one after the other, and the answers make one text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from gridloom_contract.work import WorkOrder
from gridloom_worker.engines.engine import Emit, Ending, Engine, TokenCounts

BETWEEN = "\n\n"
_CUT_OFF = "length"


async def answered(engine: Engine, order: WorkOrder, emit: Emit) -> Ending:
    """Have the engine answer all that a task asks. Raises what `Engine.run` does, and then nothing further is asked."""
    if not order.task.inputs:
        return await engine.run(order, emit)
    endings = []
    for number, prompt in enumerate(order.task.inputs):
        if number:
            emit(BETWEEN)
        task = msgspec.structs.replace(order.task, prompt=prompt, inputs=())
        endings.append(await engine.run(msgspec.structs.replace(order, task=task), emit))
    return together(endings)


def together(endings: Sequence[Ending]) -> Ending:
    """Return how all of them ended: cut off if one was; what was not counted for one is not known of all."""
    reasons = [ending.finish_reason for ending in endings]
    usage = TokenCounts(
        tokens_in=_sum(ending.usage.tokens_in for ending in endings),
        tokens_out=_sum(ending.usage.tokens_out for ending in endings),
    )
    return Ending(finish_reason=_CUT_OFF if _CUT_OFF in reasons else reasons[-1], usage=usage)


def _sum(counts: Iterable[int | None]) -> int | None:
    known = list(counts)
    return None if None in known else sum(count for count in known if count is not None)
