"""Plans by name."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import msgspec
from pymongo.errors import DuplicateKeyError

from gridloom_contract.quota import Plan
from gridloom_kit.mongo import Database
from gridloom_quota.record import DEFAULT_PLAN, PlanRecord, to_document
from gridloom_quota.rules.plans import without_limits
from gridloom_quota.store.indexes import PLANS


class PlanStore:
    """Plans are few; `default` is always there."""

    def __init__(self, database: Database) -> None:
        self._plans = database[PLANS]

    async def put(self, plan: Plan, now: datetime, *, is_new: bool = False) -> bool:
        """Make or change a plan, noted as something that not everybody has heard of.

        Returns False, and changes nothing, if it was to be new and is not.
        """
        document = to_document(PlanRecord(name=plan.name, plan=plan, unsettled_at=now))
        if not is_new:
            await self._plans.replace_one({"_id": plan.name}, document, upsert=True)
            return True
        if plan.name == DEFAULT_PLAN:
            return False
        try:
            await self._plans.insert_one(document)
        except DuplicateKeyError:
            return False
        return True

    async def delete(self, plan: str) -> None:
        """Forget a plan."""
        await self._plans.delete_one({"_id": plan})

    async def all(self) -> list[Plan]:
        """Return all plans by name."""
        found = [msgspec.convert(document, PlanRecord).plan async for document in self._plans.find()]
        if all(plan.name != DEFAULT_PLAN for plan in found):
            found.append(without_limits())
        return sorted(found, key=lambda plan: plan.name)

    async def of(self, names: Collection[str]) -> dict[str, Plan]:
        """Return those of the plans that exist, by name."""
        found = self._plans.find({"_id": {"$in": list(names)}})
        plans = {document["_id"]: msgspec.convert(document, PlanRecord).plan async for document in found}
        return {DEFAULT_PLAN: without_limits(), **plans} if DEFAULT_PLAN in names else plans

    async def unsettled(self, before: datetime) -> list[PlanRecord]:
        """Return plans that changed before a time and of which somebody may not have heard."""
        found = self._plans.find({"unsettled_at": {"$lt": before}})
        return [msgspec.convert(document, PlanRecord) async for document in found]

    async def settle(self, record: PlanRecord) -> None:
        """Note that everybody has heard of the plan, unless it changed again meanwhile."""
        seen = {"_id": record.name, "unsettled_at": record.unsettled_at}
        await self._plans.update_one(seen, {"$unset": {"unsettled_at": ""}})
