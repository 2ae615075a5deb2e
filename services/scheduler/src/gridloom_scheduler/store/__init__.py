"""All MongoDB of the scheduler: one method a question or a transition, one class a kind of question."""

from __future__ import annotations

import asyncio

from gridloom_kit.mongo import Database
from gridloom_scheduler.store.batches import BatchStore
from gridloom_scheduler.store.endings import EndingStore
from gridloom_scheduler.store.fleet import ModelStore, WorkerStore
from gridloom_scheduler.store.holds import HoldStore
from gridloom_scheduler.store.jobs import JobStore
from gridloom_scheduler.store.keys import KeyStore
from gridloom_scheduler.store.queue import QueueStore
from gridloom_scheduler.store.retelling import RetellingStore

_PING_SECONDS = 2.0


class Stores:
    """The collections, one class a kind of question."""

    def __init__(self, database: Database) -> None:
        self.jobs = JobStore(database)
        self.queue = QueueStore(database)
        self.holds = HoldStore(database)
        self.endings = EndingStore(database)
        self.retellings = RetellingStore(database)
        self.keys = KeyStore(database)
        self.workers = WorkerStore(database)
        self.models = ModelStore(database)
        self.batches = BatchStore(database)
        self._database = database

    async def ping(self) -> None:
        """Raise unless MongoDB answers soon."""
        async with asyncio.timeout(_PING_SECONDS):
            await self._database.command("ping")
