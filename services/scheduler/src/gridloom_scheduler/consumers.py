"""The three durable consumers of each worker, one a lane: they deliver its orders, and only there it acknowledges them.

The server delivers them to the worker's own subjects, as soon as there are any and the worker listens. A worker asks
JetStream for nothing: who may pull may also have the answer sent wherever it likes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, Protocol

from gridloom_contract import subjects
from gridloom_contract.streams import WORK_STREAMS
from gridloom_kit.jetstream import JetStreamApiError
from gridloom_kit.log import get_logger

log = get_logger()

_NANOSECONDS = 1_000_000_000
_ACK_WAIT_SECONDS = 10
_FORGET_AFTER_SECONDS = 7 * 86_400
"""A worker that stays away so long has its consumers made anew when it says hello again."""
_NOT_TO_BE_CHANGED = 10012
"""JetStream's word for an update that would make another kind of consumer of it."""


class JetStreamApi(Protocol):
    """JetStream's own requests."""

    async def js_api(self, name: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask JetStream; raises `JetStreamApiError`."""
        ...


class Consumers:
    """Makes and removes the consumers of workers. A consumer's name is the worker's id: permissions are exact names."""

    def __init__(self, api: JetStreamApi) -> None:
        self._api = api

    async def ensure(self, worker: str, models: Collection[str]) -> None:
        """Have the worker's consumers deliver the orders for these models and no others.

        Raises `JetStreamApiError` or `nats.errors.Error`; repeating it is safe.
        """
        await asyncio.gather(*(self._ensure(lane, worker, models) for lane in WORK_STREAMS))

    async def remove(self, worker: str) -> None:
        """Delete the worker's consumers, if they are there."""
        await asyncio.gather(*(self._remove(stream, worker) for stream in WORK_STREAMS.values()))

    async def _ensure(self, lane: str, worker: str, models: Collection[str]) -> None:
        try:
            await self._make(lane, worker, models)
        except JetStreamApiError as error:
            if error.err_code != _NOT_TO_BE_CHANGED:
                raise
            # It is from a time when workers pulled. What it holds stays in its stream.
            await self._remove(WORK_STREAMS[lane], worker)
            await self._make(lane, worker, models)

    async def _make(self, lane: str, worker: str, models: Collection[str]) -> None:
        stream = WORK_STREAMS[lane]
        filters = sorted(subjects.work_of_model(lane, model, worker) for model in models)
        config = {
            "name": worker,
            "durable_name": worker,
            # No filter at all would deliver every worker's orders.
            "filter_subjects": filters or [subjects.work_of(lane, worker)],
            "ack_policy": "explicit",
            "ack_wait": _ACK_WAIT_SECONDS * _NANOSECONDS,
            "deliver_policy": "all",
            "replay_policy": "instant",
            "max_deliver": -1,
            "deliver_subject": subjects.order(worker, lane),
            "inactive_threshold": _FORGET_AFTER_SECONDS * _NANOSECONDS,
        }
        await self._api.js_api(f"CONSUMER.CREATE.{stream}.{worker}", {"stream_name": stream, "config": config})

    async def _remove(self, stream: str, worker: str) -> None:
        try:
            await self._api.js_api(f"CONSUMER.DELETE.{stream}.{worker}")
        except JetStreamApiError as error:
            log.debug("consumer.not_deleted", stream=stream, err=str(error))
