"""Rollups in MongoDB. Each remembers, for every writer, the last batch it has in its sums: that is what makes
applying a batch twice, by whomever and however late, the same as once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from gridloom_kit.mongo import Database, Document
from gridloom_usage.rules.lines import BatchId
from gridloom_usage.rules.questions import Period
from gridloom_usage.rules.rollups import SUMMED, Group, Rollup, Sums
from gridloom_usage.store.errors import duplicates
from gridloom_usage.store.indexes import ROLLUPS


class RollupStore:
    """Totals: adding a batch to them, and reading them."""

    def __init__(self, database: Database) -> None:
        self._rollups = database[ROLLUPS]

    async def apply(self, batch: BatchId, increments: Mapping[Group, Sums]) -> None:
        """Add what `batch` counts to every rollup that does not have it yet.

        Batches of one writer are to be applied in their order, the next one after the last is applied everywhere.
        """
        if not increments:
            return
        there = await self._update(batch, list(increments.items()), upsert=True)
        if there:  # another writer may have made them a moment ago: then they are without this batch
            await self._update(batch, [(group, increments[group]) for group in there], upsert=False)

    async def _update(self, batch: BatchId, growth: Sequence[tuple[Group, Sums]], *, upsert: bool) -> list[Group]:
        """Return the rollups that could not be made because they are there."""
        updates = [UpdateOne(_without(batch, group), _growth(batch, sums), upsert=upsert) for group, sums in growth]
        try:
            await self._rollups.bulk_write(updates, ordered=False)
        except BulkWriteError as error:
            return [growth[index][0] for index in duplicates(error)]
        return []

    async def totals(
        self, account: str, period: Period, groups: Collection[str], limit: int
    ) -> list[tuple[dict[str, str | None], Sums]]:
        """Return the account's totals of a period, one for each combination of `groups`; at most `limit`."""
        days = {operator: day for operator, day in (("$gte", period.since), ("$lte", period.until)) if day}
        stages: list[Document] = [
            {"$match": {"_id.account": account, **({"_id.day": days} if days else {})}},
            {
                "$group": {
                    "_id": {name: _path(name) for name in groups},
                    **{name: {"$sum": f"${name}"} for name in SUMMED},
                }
            },
            {"$limit": limit},
        ]
        found = self._rollups.aggregate(stages, allowDiskUse=True)
        return [(document["_id"], _sums_of(document)) async for document in found]

    async def of_account(self, account: str) -> dict[Group, Rollup]:
        """Return all rollups of an account."""
        found = [_rollup_of(document) async for document in self._rollups.find({"_id.account": account})]
        return {rollup.group: rollup for rollup in found}

    async def accounts(self) -> set[str]:
        """Return every account that has a rollup."""
        return {document["_id"] async for document in self._rollups.aggregate([{"$group": {"_id": "$_id.account"}}])}


def _path(name: str) -> str:
    return f"$_id.{name}"


def _without(batch: BatchId, group: Group) -> Document:
    """Match the rollup unless it has the batch, or a later one of the same writer, in its sums."""
    return {"_id": msgspec.structs.asdict(group), _applied_by(batch): {"$not": {"$gte": batch.number}}}


def _growth(batch: BatchId, sums: Sums) -> Document:
    return {"$inc": msgspec.structs.asdict(sums), "$set": {_applied_by(batch): batch.number}}


def _applied_by(batch: BatchId) -> str:
    return f"applied.{batch.writer}"


def _rollup_of(document: Document) -> Rollup:
    return Rollup(group=Group(**document["_id"]), sums=_sums_of(document), applied=document["applied"])


def _sums_of(document: Document) -> Sums:
    return msgspec.convert(document, Sums)  # plain ints: BSON's own would not go over the bus
