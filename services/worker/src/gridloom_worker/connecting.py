"""The way to NATS: a worker waits for ever for a server that is not there, and not for one that refuses its token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from gridloom_contract.permissions import worker_inbox
from gridloom_kit.bus import Bus, open_bus
from gridloom_kit.client import Patience
from gridloom_kit.log import get_logger, redact
from gridloom_worker.settings import Settings

log = get_logger()

_AT_ONCE = Patience(unreachable_seconds=-1.0, refused_seconds=-1.0)
_PAUSE_SECONDS = 1.0
_LOOK_SECONDS = 5.0
_ATTEMPT_SECONDS = 5.0
_QUICK_SECONDS = 1.0
"""A refusal that comes sooner was an answer; one that comes later means that nobody checks tokens at the moment."""
_REFUSALS = 3


class TokenRefused(Exception):
    """The grid does not know this worker; the message says what to do."""


class Interrupted(Exception):
    """The worker was told to stop before it was connected."""


@asynccontextmanager
async def open_connection(settings: Settings, worker: str, stop: asyncio.Event) -> AsyncIterator[Bus]:
    """Connect with the worker's token and inbox and yield the bus. Raises `TokenRefused` or `Interrupted`."""
    async with AsyncExitStack() as stack:
        refusals, bus = 0, None
        while bus is None:
            began = asyncio.get_running_loop().time()
            try:
                bus = await _attempt(stack, settings, worker, stop)
            except Exception as error:
                took_seconds = asyncio.get_running_loop().time() - began
                refusals += _tell(root_of(error), took_seconds, settings, worker)
                if refusals >= _REFUSALS:
                    raise TokenRefused(_advice(settings, worker)) from error
                await _pause(stop)
        log.info("worker.connected", worker=worker, nats=redact(settings.nats_url))
        yield bus


class Readmission:
    """Finds out whether a worker that cannot come back was revoked, or whether nobody checks tokens at the moment."""

    def __init__(self, settings: Settings, worker: str, bus: Bus, stop: asyncio.Event) -> None:
        self._settings = settings
        self._worker = worker
        self._bus = bus
        self._stop = stop

    async def watch(self) -> None:
        """Look now and then, until canceled. Raises `TokenRefused` once the token is void."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if not self._bus.is_connected and _is_refusal(self._bus.client.last_error):
                async with open_connection(self._settings, self._worker, self._stop):
                    log.info("worker.readmitted", worker=self._worker)


async def _attempt(stack: AsyncExitStack, settings: Settings, worker: str, stop: asyncio.Event) -> Bus:
    """Try once, at most for a while, and not after `stop`: the client by itself would go on for ever."""
    async with asyncio.timeout(_ATTEMPT_SECONDS) as scope, asyncio.TaskGroup() as group:
        watch = group.create_task(_end_with(stop, scope))
        try:
            return await stack.enter_async_context(_connection(settings, worker))
        finally:
            watch.cancel()


async def _end_with(stop: asyncio.Event, scope: asyncio.Timeout) -> None:
    await stop.wait()
    scope.reschedule(asyncio.get_running_loop().time())


def _connection(settings: Settings, worker: str) -> AbstractAsyncContextManager[Bus]:
    token = settings.token.strip()
    return open_bus(settings, "worker", inbox_prefix=worker_inbox(worker), token=token, patience=_AT_ONCE)


def root_of(error: BaseException) -> BaseException:
    """Return the first error inside however many groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _is_refusal(error: BaseException | None) -> bool:
    return "authorization" in str(error).lower()


def _tell(error: BaseException, took_seconds: float, settings: Settings, worker: str) -> int:
    """Log why there is no connection; return 1 for a refusal, else 0."""
    is_quick = took_seconds < _QUICK_SECONDS
    if is_quick and _is_refusal(error):
        log.error("worker.token_refused", worker=worker)
        return 1
    hint = "" if is_quick else "; if the server is there, nobody checks worker tokens: is the scheduler running?"
    err = (str(error) or type(error).__name__) + hint
    log.warning("worker.waiting_for_nats", nats=redact(settings.nats_url), err=err)
    return 0


async def _pause(stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(_PAUSE_SECONDS):
            await stop.wait()
    except TimeoutError:
        return
    raise Interrupted


def _advice(settings: Settings, worker: str) -> str:
    return (
        f"the grid at {redact(settings.nats_url)} refuses the token of worker {worker}. It may have been revoked, "
        "or belong to another grid. Check --nats, or ask an operator for a new token (gridloom workers enrol NAME)."
    )
