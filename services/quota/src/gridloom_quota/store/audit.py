"""What a verification reads: accounts with all that was copied from them, as of one moment."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import msgspec

from gridloom_kit.mongo import Database
from gridloom_quota.record import Account, Document, EndedGrant
from gridloom_quota.rules.audit import Evidence, Tally, tally_of
from gridloom_quota.store.indexes import ACCOUNTS, GRANTS, RESERVATIONS

_PAGE = 100
_BY_GRANT: dict[str, Any] = {
    "$group": {
        "_id": {"account": "$account", "grant": "$grant", "is_open": "$is_open"},
        "tokens": {"$sum": "$tokens"},
        "from_grant": {"$sum": "$from_grant"},
    }
}


class AuditStore:
    """Reads pages of accounts, each page as it was at one moment in all collections."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def pages(self) -> AsyncIterator[list[Evidence]]:
        """Yield all accounts in order of their id."""
        after = ""
        while page := await self._page(after):
            yield page
            after = page[-1].account.id

    async def _page(self, after: str) -> list[Evidence]:
        options: dict[str, Any] = {"snapshot": True, "causal_consistency": False}
        async with await self._database.client.start_session(**options) as session:
            found = self._database[ACCOUNTS].find({"_id": {"$gt": after}}, session=session).sort("_id", 1).limit(_PAGE)
            accounts = [msgspec.convert(document, Account) async for document in found]
            return await self._evidence(accounts, session) if accounts else []

    async def _evidence(self, accounts: Sequence[Account], session: Any) -> list[Evidence]:
        ids = [account.id for account in accounts]
        found = self._database[GRANTS].find({"account": {"$in": ids}}, session=session)
        ended = {document["_id"]: msgspec.convert(document, EndedGrant) async for document in found}
        # What an interrupted write left in a journal is newer than the copies of it.
        ended |= {grant.id: grant for account in accounts for grant in account.ended_grants}
        held = [*ended, *(grant.id for account in accounts for grant in account.grants)]
        journaled = [booking.id for account in accounts for booking in account.journal]
        about = {"$or": [{"is_open": True, "account": {"$in": ids}}, {"grant": {"$in": held}}]}
        stages: list[dict[str, Any]] = [{"$match": {**about, "_id": {"$nin": journaled}}}, _BY_GRANT]
        rows = [row async for row in self._database[RESERVATIONS].aggregate(stages, session=session)]
        return [_of(account, ended.values(), rows) for account in accounts]


def _of(account: Account, ended: Iterable[EndedGrant], rows: Sequence[Document]) -> Evidence:
    copies = [_tally(row) for row in rows if row["_id"]["account"] == account.id]
    journal = [tally_of(booking) for booking in account.journal]
    return Evidence(account, (*copies, *journal), tuple(grant for grant in ended if grant.account == account.id))


def _tally(row: Document) -> Tally:
    group = row["_id"]
    return Tally(group.get("grant"), bool(group.get("is_open")), row["tokens"], row["from_grant"])
