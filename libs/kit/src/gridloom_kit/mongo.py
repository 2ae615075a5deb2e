"""MongoDB as the record: every write is majority-journaled unless a store says otherwise, indexes are declared once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC
from typing import Any

from bson.codec_options import CodecOptions
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorDatabase
from pymongo import IndexModel, WriteConcern
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern

from gridloom_kit.log import get_logger

log = get_logger()
Document = dict[str, Any]
Database = AsyncIOMotorDatabase[Document]

_SERVER_SELECTION_MILLISECONDS = 15_000
_INDEX_CONFLICT = frozenset({85, 86})
DURABLE = WriteConcern(w="majority", j=True)
DatabaseError = PyMongoError
"""What a store raises when MongoDB cannot be reached or refuses: the write may or may not have happened."""
AT_ONE_TIME = ReadConcern("snapshot")
"""For questions that read many documents, and miss those that change meanwhile without it."""
FORGETTABLE = WriteConcern(w=1)
"""For marks that a sweeper can make again: never for a job's state."""


@asynccontextmanager
async def open_database(url: str, name: str) -> AsyncIterator[Database]:
    """Yield database `name`, times in UTC, writes w=majority + journal, retried once by the driver.

    Connects on first use.
    """
    client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
        url,
        tz_aware=True,
        serverSelectionTimeoutMS=_SERVER_SELECTION_MILLISECONDS,
        retryWrites=True,
        appname="gridloom",
    )
    options: CodecOptions[Document] = CodecOptions(tz_aware=True, tzinfo=UTC)
    try:
        yield client.get_database(name, options, write_concern=DURABLE, read_concern=ReadConcern("majority"))
    finally:
        client.close()


async def ensure_indexes(database: Database, indexes: Mapping[str, Sequence[IndexModel]]) -> None:
    """Make the declared indexes that are missing. An index whose definition changed is made anew under its name."""
    for collection, models in indexes.items():
        for model in models:
            await _ensure_index(database, collection, model)


async def _ensure_index(database: Database, collection: str, model: IndexModel) -> None:
    try:
        await database[collection].create_indexes([model])
    except OperationFailure as error:
        if error.code not in _INDEX_CONFLICT:
            raise
        log.warning("mongo.index_rebuilt", collection=collection, index=model.document["name"])
        await database[collection].drop_index(model.document["name"])
        await database[collection].create_indexes([model])
