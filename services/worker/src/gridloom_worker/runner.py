"""One attempt, from the engine's start to its result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from enum import Enum
from functools import partial
from typing import Any

from gridloom_contract.fault import Fault, FaultCode, FaultError
from gridloom_contract.work import ResultReport, StartReport, Verdict, WorkOrder
from gridloom_domain.tokens import said_characters
from gridloom_kit.clock import Clock
from gridloom_kit.log import get_logger
from gridloom_worker import metrics, rules
from gridloom_worker.engines.engine import Ending, Engine
from gridloom_worker.inputs import Inputs
from gridloom_worker.reports import Reports
from gridloom_worker.rounds import answered
from gridloom_worker.slots import Key, key_of
from gridloom_worker.streams import Streams, TextStream
from gridloom_worker.text import usage_of

log = get_logger()
Work = Callable[[], Coroutine[Any, Any, None]]

_START_PATIENCE_SECONDS = 0.01
"""A start waits so long for company: the answer of a fast engine then goes in the same report, one write less."""


class Why(Enum):
    """Why an attempt was broken off."""

    UNWANTED = "unwanted"
    """Canceled, or the lease is over: nobody waits for a report."""
    LEAVING = "leaving"
    """The worker stops: the job goes to another."""


class Attempt:
    """An order that is being carried out. `stop` ends its engine's work within moments."""

    def __init__(self, order: WorkOrder, stream: TextStream) -> None:
        self.order = order
        self.stream = stream
        self.scope = asyncio.timeout(order.timeout_seconds)
        self.stopped: Why | None = None
        self._start: StartReport | None = StartReport(job=order.job, attempt=order.attempt, token=order.token)

    def stop(self, why: Why) -> None:
        """Break the attempt off."""
        if self.stopped is None:
            self.stopped = why
            self.scope.reschedule(asyncio.get_running_loop().time())

    def take_start(self) -> StartReport | None:
        """Return the start report to whoever asks first."""
        start, self._start = self._start, None
        return start


class _Beside:
    """What may go on beside an engine's work, begun if that is not over sooner, and ended with it."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._due: list[asyncio.Handle] = []
        self._tasks: list[asyncio.Task[None]] = []

    def begin_after(self, seconds: float, work: Work) -> None:
        """Begin in `seconds`."""
        self._due.append(asyncio.get_running_loop().call_later(seconds, self._begin, work))

    def begin_soon(self, work: Work) -> None:
        """Begin unless all is over by the next turn of the loop."""
        self._due.append(asyncio.get_running_loop().call_soon(self._begin, work))

    def _begin(self, work: Work) -> None:
        self._tasks.append(self._group.create_task(work()))

    def __enter__(self) -> _Beside:
        return self

    def __exit__(self, *exception: object) -> None:
        for due in self._due:
            due.cancel()
        for task in self._tasks:
            task.cancel()


class Runner:
    """Runs attempts on one engine."""

    def __init__(self, engine: Engine, inputs: Inputs, reports: Reports, streams: Streams, clock: Clock) -> None:
        self._engine = engine
        self._inputs = inputs
        self._reports = reports
        self._streams = streams
        self._clock = clock
        self._attempts: dict[Key, Attempt] = {}

    def stop(self, key: Key, why: Why) -> bool:
        """Stop a running attempt; False if it is not running."""
        attempt = self._attempts.get(key)
        if attempt is not None:
            attempt.stop(why)
        return attempt is not None

    def stop_all(self, why: Why) -> None:
        """Stop everything."""
        for attempt in list(self._attempts.values()):
            attempt.stop(why)

    def begin_streams_again(self) -> None:
        """Send the text of everything that runs once more, from the start."""
        for attempt in self._attempts.values():
            attempt.stream.begin_again()

    async def run(self, order: WorkOrder) -> tuple[ResultReport | None, StartReport | None]:
        """Return the result, or None if nobody wants one; and the start report if it was not sent yet."""
        stream = self._streams.of(order)
        attempt = self._attempts[key_of(order)] = Attempt(order, stream)
        try:
            async with asyncio.TaskGroup() as group:
                with _Beside(group) as beside:
                    beside.begin_after(_START_PATIENCE_SECONDS, partial(self._announce, attempt))
                    stream.on_first_text = partial(beside.begin_soon, stream.relay)
                    result = await self._answer(attempt)
        finally:
            del self._attempts[key_of(order)]
        return result, attempt.take_start()

    async def _announce(self, attempt: Attempt) -> None:
        start = attempt.take_start()
        if start and await self._reports.started(start) is Verdict.STALE:
            log.info("attempt.stale", job=start.job, attempt=start.attempt)
            attempt.stop(Why.UNWANTED)

    async def _answer(self, attempt: Attempt) -> ResultReport | None:
        began = self._clock.monotonic()
        ending: Ending | None = None
        fault: Fault | None = None
        try:
            ending = await self._ask_engine(attempt)
        except FaultError as error:
            fault = error.fault
        except TimeoutError:
            fault = rules.interrupted() if attempt.stopped else rules.timed_out(attempt.order.timeout_seconds)
        # However it ended: readers see how far it came, and they see it before they hear of the end.
        await attempt.stream.finish()
        if ending is None and attempt.stopped is Why.UNWANTED:
            return None
        result = _result(attempt, ending, fault, (began, self._clock.monotonic()))
        self._measure(attempt.order.model, result)
        return result

    async def _ask_engine(self, attempt: Attempt) -> Ending:
        async with attempt.scope:
            try:
                attempt.order = await self._inputs.complete(attempt.order)
                return await answered(self._engine, attempt.order, attempt.stream.feed)
            except FaultError:
                raise
            except Exception as error:
                log.exception("engine.bug", engine=self._engine.name)
                message = "the worker's engine failed unexpectedly; its log says why"
                raise FaultError(Fault(code=FaultCode.INTERNAL, message=message, retryable=True)) from error

    def _measure(self, model: str, result: ResultReport) -> None:
        if result.first_token_seconds is not None:
            metrics.first_token_of(model, self._engine.name).observe(result.first_token_seconds)
        writing_seconds = result.engine_seconds - (result.first_token_seconds or 0.0)
        if result.usage and result.usage.tokens_out > 1 and writing_seconds > 0:
            metrics.speed_of(model).observe(result.usage.tokens_out / writing_seconds)


def _result(attempt: Attempt, ending: Ending | None, fault: Fault | None, times: tuple[float, float]) -> ResultReport:
    order, (began, ended), first = attempt.order, times, attempt.stream.first_text_at
    output = _output(attempt, ending) if ending else None
    return ResultReport(
        job=order.job,
        attempt=order.attempt,
        token=order.token,
        output=output,
        finish_reason=ending.finish_reason if ending else None,
        usage=usage_of(ending.usage, order.task, said_characters(order.task, output or "")) if ending else None,
        fault=fault,
        engine_seconds=ended - began,
        first_token_seconds=first - began if first is not None else None,
        served_model=order.model,
        streamed_characters=attempt.stream.characters if ending and ending.body is not None else None,
    )


def _output(attempt: Attempt, ending: Ending) -> str:
    return attempt.stream.text if ending.body is None else ending.body
