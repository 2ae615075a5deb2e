"""The ledger in MongoDB. A line's `_id` is its job, so there can be no second one; its entries only grow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec
from pymongo import InsertOne
from pymongo.errors import AutoReconnect, BulkWriteError

from gridloom_contract.usage import AccountTotal
from gridloom_kit.crash import point
from gridloom_kit.mongo import Database, Document
from gridloom_usage.rules.differences import Share
from gridloom_usage.rules.lines import BatchId, EndingKey, Line, counted_by, merged
from gridloom_usage.rules.rollups import Group, Sums
from gridloom_usage.store.errors import duplicates
from gridloom_usage.store.indexes import LEDGER

_TRIES = 100
_PAUSE_SECONDS = 0.02
_SHARE = {"day": "$day", "tag": "$tag", "model": "$model", "key": "$key", "batch": "$entries.batch"}


class LedgerStore:
    """Lines: adding endings to them, and what they add up to."""

    def __init__(self, database: Database) -> None:
        self._lines = database[LEDGER]

    async def add(self, lines: Sequence[Line], batch: BatchId) -> set[EndingKey]:
        """Store the endings that are not in the ledger yet. Returns those which `batch` counts, stored now or before.

        When it returns, all of them are in the ledger and nobody will ever store one of them again.
        """
        there = await self._insert(lines)
        counted = {ending for line in lines if line.job not in there for ending in counted_by(batch, line)}
        return counted | await self._extend({line.job: line for line in lines if line.job in there}, batch)

    async def _insert(self, lines: Sequence[Line]) -> set[str]:
        """Store the lines of new jobs; return the jobs that have one already."""
        try:
            await self._lines.bulk_write([InsertOne(_document(line)) for line in lines], ordered=False)
        except BulkWriteError as error:
            return {lines[index].job for index in duplicates(error)}
        return set()

    async def _extend(self, waiting: dict[str, Line], batch: BatchId) -> set[EndingKey]:
        """Add endings to lines that are there. A line just written by another replica may take a moment to be seen."""
        counted: set[EndingKey] = set()
        for _ in range(_TRIES):
            if not waiting:
                return counted
            for stored in await self.of_jobs(waiting):
                whole = merged(stored, waiting[stored.job])
                if whole is None or await self._replace(stored, whole):
                    counted |= counted_by(batch, whole or stored)
                    del waiting[stored.job]
            if waiting:
                await asyncio.sleep(_PAUSE_SECONDS)
        raise AutoReconnect(f"the lines of {len(waiting)} jobs are written by somebody and do not become visible")

    async def _replace(self, stored: Line, whole: Line) -> bool:
        query = {"_id": stored.job, "entries": {"$size": len(stored.entries)}}
        result = await self._lines.replace_one(query, _document(whole))
        point("usage.line_extended")
        return result.matched_count == 1

    async def of_jobs(self, jobs: Collection[str]) -> list[Line]:
        """Return the lines of these jobs."""
        return [_line_of(document) async for document in self._lines.find({"_id": {"$in": list(jobs)}})]

    async def of_job(self, job: str) -> Line | None:
        """Return the line of a job, or None."""
        document = await self._lines.find_one({"_id": job})
        return _line_of(document) if document else None

    async def endings_of(self, jobs: Collection[str]) -> set[EndingKey]:
        """Return which endings of these jobs are in the ledger."""
        found = self._lines.find({"_id": {"$in": list(jobs)}}, {"entries.seq": 1})
        return {(document["_id"], entry["seq"]) async for document in found for entry in document["entries"]}

    async def between(self, after: str | None, last: str | None, limit: int) -> list[Line]:
        """Return at most `limit` lines in order of their job, those after `after` up to `last`."""
        bounds = {"$gt": after or ""} | ({"$lte": last} if last is not None else {})
        found = self._lines.find({"_id": bounds}).sort("_id", 1).limit(limit)
        return [_line_of(document) async for document in found]

    async def accounts(self) -> set[str]:
        """Return every account that has a line."""
        found = self._lines.aggregate([{"$group": {"_id": "$account"}}])
        return {document["_id"] async for document in found}

    async def shares_of(self, account: str) -> AsyncIterator[Share]:
        """Yield what each batch counts in each rollup of the account, recomputed from its lines."""
        stages: list[Document] = [
            {"$match": {"account": account}},
            {"$unwind": "$entries"},
            {"$set": {"day": {"$dateToString": {"format": "%Y-%m-%d", "date": "$entries.ended_at"}}}},
            {"$group": {"_id": _SHARE, **_SUMS}},
        ]
        async for document in self._lines.aggregate(stages, allowDiskUse=True):
            yield _share_of(account, document)

    async def totals_of(self, accounts: Collection[str], since: datetime) -> dict[str, AccountTotal]:
        """Return what these accounts used by endings since `since`; those without any are left out."""
        stages: list[Document] = [
            {"$match": {"account": {"$in": list(accounts)}, "ended_at": {"$gte": since}}},
            {"$unwind": "$entries"},
            {"$match": {"entries.ended_at": {"$gte": since}}},
            {"$group": {"_id": "$account", "account": {"$first": "$account"}, **_TOKENS, **_JOBS}},
        ]
        found = self._lines.aggregate(stages, allowDiskUse=True)
        totals = [msgspec.convert(document, AccountTotal) async for document in found]
        return {total.account: total for total in totals}


def _of(field: str) -> str:
    return f"$entries.{field}"


def _count_if(condition: object) -> Document:
    return {"$sum": {"$cond": [condition, 1, 0]}}


_JOBS: Document = {"jobs": {"$sum": 1}}
_TOKENS: Document = {"tokens": {"$sum": {"$add": [_of("tokens_in"), _of("tokens_out")]}}}
_SUMS: Document = {
    **_JOBS,
    **{state: _count_if({"$eq": ["$entries.state", state]}) for state in ("succeeded", "failed", "canceled")},
    **{field: {"$sum": _of(field)} for field in ("tokens_in", "tokens_out", "engine_microseconds")},
    "estimated_jobs": _count_if("$entries.estimated"),
}


def _document(line: Line) -> Document:
    document: Document = msgspec.to_builtins(line, builtin_types=(datetime,))
    return document


def _line_of(document: Document) -> Line:
    return msgspec.convert(document, Line)


def _share_of(account: str, document: dict[str, Any]) -> Share:
    where = document["_id"]
    group = Group(account=account, day=where["day"], tag=where.get("tag"), model=where["model"], key=where["key"])
    batch = msgspec.convert(where["batch"], BatchId)
    return Share(group=group, batch=batch, sums=msgspec.convert(document, Sums))
