"""All MongoDB of the gateway: accounts, API keys, idempotency keys. One method is one question or one transition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from pymongo import DESCENDING, IndexModel, ReturnDocument, UpdateOne
from pymongo.errors import BulkWriteError

from gridloom_contract.registry import COLLECTIONS, GATEWAY
from gridloom_gateway.claims import Claim, KeptAnswer
from gridloom_gateway.people import Account, ApiKey, Page
from gridloom_kit.mongo import FORGETTABLE, Database

ACCOUNTS, API_KEYS, CLAIMS = COLLECTIONS[GATEWAY]
INDEXES = {
    ACCOUNTS: [IndexModel([("created_at", DESCENDING), ("_id", DESCENDING)], name="newest")],
    API_KEYS: [IndexModel([("account", 1), ("created_at", DESCENDING), ("_id", DESCENDING)], name="of_account")],
    CLAIMS: [IndexModel([("ends_at", 1)], name="ended", expireAfterSeconds=0)],
}

_DUPLICATE = 11000
_NEWEST_FIRST = [("created_at", DESCENDING), ("_id", DESCENDING)]


class Store:
    """Accounts and keys; the gateway is their only writer and reader. `claims` are the idempotency keys."""

    def __init__(self, database: Database) -> None:
        self._accounts = database[ACCOUNTS]
        self._keys = database[API_KEYS]
        self.claims = ClaimStore(database)
        self._unhurried_keys = self._keys.with_options(write_concern=FORGETTABLE)

    async def add_account(self, account: Account) -> None:
        """Store a new account. Raises `pymongo.errors.DuplicateKeyError` if its id is taken."""
        await self._accounts.insert_one(
            {
                "_id": account.id,
                "name": account.name,
                "created_at": account.created_at,
                "priority_boost": account.priority_boost,
                "disabled_at": account.disabled_at,
            }
        )

    async def account(self, account: str) -> Account | None:
        """Return the account, or None."""
        found = await self._accounts.find_one({"_id": account})
        return _account(found) if found else None

    async def accounts(self, page: int, size: int) -> Page[Account]:
        """Return one page of all accounts, newest first."""
        rows = self._accounts.find({}).sort(_NEWEST_FIRST).skip((page - 1) * size).limit(size)
        total = await self._accounts.count_documents({})
        return Page(tuple([_account(row) async for row in rows]), page, size, total)

    async def set_disabled(self, account: str, at: datetime | None) -> Account | None:
        """Disable the account (an earlier disabling keeps its time) or enable it (`at` None); return it, or None."""
        if at is not None:
            await self._accounts.update_one({"_id": account, "disabled_at": None}, {"$set": {"disabled_at": at}})
            return await self.account(account)
        found = await self._accounts.find_one_and_update(
            {"_id": account}, {"$set": {"disabled_at": None}}, return_document=ReturnDocument.AFTER
        )
        return _account(found) if found else None

    async def add_key(self, key: ApiKey) -> None:
        """Store a new key. Raises `pymongo.errors.DuplicateKeyError` if its kid is taken."""
        await self._keys.insert_one(
            {
                "_id": key.kid,
                "account": key.account,
                "verifier": key.verifier,
                "name": key.name,
                "scopes": list(key.scopes),
                "created_at": key.created_at,
                "expires_at": key.expires_at,
                "revoked_at": key.revoked_at,
                "last_used_at": key.last_used_at,
            }
        )

    async def key(self, kid: str) -> ApiKey | None:
        """Return the key, or None."""
        found = await self._keys.find_one({"_id": kid})
        return _key(found) if found else None

    async def keys(self, account: str, page: int, size: int) -> Page[ApiKey]:
        """Return one page of an account's keys, newest first."""
        rows = self._keys.find({"account": account}).sort(_NEWEST_FIRST).skip((page - 1) * size).limit(size)
        total = await self._keys.count_documents({"account": account})
        return Page(tuple([_key(row) async for row in rows]), page, size, total)

    async def kids_of(self, account: str) -> tuple[str, ...]:
        """Return the kids of an account's keys that are not revoked."""
        rows = self._keys.find({"account": account, "revoked_at": None}, {"_id": 1})
        return tuple([str(row["_id"]) async for row in rows])

    async def revoke_key(self, kid: str, at: datetime) -> ApiKey | None:
        """Revoke the key (an earlier revocation keeps its time); return it, or None."""
        await self._keys.update_one({"_id": kid, "revoked_at": None}, {"$set": {"revoked_at": at}})
        return await self.key(kid)

    async def shorten_key(self, kid: str, now: datetime, end: datetime) -> ApiKey | None:
        """Let a key that is valid `now` end at `end`, or earlier if it does so already; return it, or None."""
        is_valid = {"_id": kid, "revoked_at": None, "$or": [{"expires_at": None}, {"expires_at": {"$gt": now}}]}
        earlier = {"$min": [{"$ifNull": ["$expires_at", end]}, end]}
        found = await self._keys.find_one_and_update(
            is_valid, [{"$set": {"expires_at": earlier}}], return_document=ReturnDocument.AFTER
        )
        return _key(found) if found else None

    async def keys_with_accounts(self, kids: Sequence[str]) -> list[tuple[ApiKey, Account] | None]:
        """Return each key with its account, in the order asked; None where there is none."""
        keys = {row["_id"]: _key(row) async for row in self._keys.find({"_id": {"$in": list(kids)}})}
        wanted = {"_id": {"$in": list({key.account for key in keys.values()})}}
        accounts = {row["_id"]: _account(row) async for row in self._accounts.find(wanted)}
        found = [keys.get(kid) for kid in kids]
        return [(key, accounts[key.account]) if key and key.account in accounts else None for key in found]

    async def note_used(self, kids: Sequence[str], at: datetime) -> None:
        """Record that these keys were used by `at`. Not journaled: it is for people to look at."""
        await self._unhurried_keys.update_many({"_id": {"$in": list(kids)}}, {"$max": {"last_used_at": at}})

    async def ping(self) -> None:
        """Raise `pymongo.errors.PyMongoError` unless the database answers."""
        await self._accounts.database.command("ping")


class ClaimStore:
    """Idempotency keys in use. MongoDB forgets them when they end, within a minute."""

    def __init__(self, database: Database) -> None:
        self._claims = database[CLAIMS]

    async def claim(self, wanted: Sequence[Claim]) -> list[Claim]:
        """Return the claims that stand, in the order asked: each wanted one whose key was free."""
        rows = [{"_id": claim.id, **_claim_fields(claim), "answer": None} for claim in wanted]
        try:
            await self._claims.insert_many(rows, ordered=False)
        except BulkWriteError as error:
            taken = _duplicates(error)
        else:
            return list(wanted)
        found = await self._found(wanted[index] for index in taken)
        # One that was released meanwhile is free again.
        freed = [wanted[index] for index in taken if wanted[index].id not in found]
        found |= {claim.id: claim for claim in (await self.claim(freed) if freed else [])}
        return [found[claim.id] if index in taken else claim for index, claim in enumerate(wanted)]

    async def take_over(self, old: Claim, new: Claim) -> bool:
        """Hold an unanswered claim in place of its holder; False if somebody else was faster."""
        change = {"$set": {"holder": new.holder, "held_until": new.held_until}}
        result = await self._claims.update_one(_unanswered(old) | {"holder": old.holder}, change)
        return result.modified_count == 1

    async def answer(self, answered: Sequence[tuple[Claim, KeptAnswer]]) -> list[KeptAnswer]:
        """Keep each answer unless there is one for its claim, and return those that are kept."""
        writes = [UpdateOne(_unanswered(claim), _with_answer(claim, answer), upsert=True) for claim, answer in answered]
        try:
            await self._claims.bulk_write(writes, ordered=False)
        except BulkWriteError as error:
            taken = _duplicates(error)
        else:
            return [answer for _, answer in answered]
        found = await self._found(answered[index][0] for index in taken)
        return [_standing(found.get(claim.id), claim) or answer for claim, answer in answered]

    async def _found(self, claims: Iterable[Claim]) -> dict[str, Claim]:
        rows = self._claims.find({"_id": {"$in": [claim.id for claim in claims]}})
        return {row["_id"]: _claim(row) async for row in rows}

    async def release(self, claim: Claim) -> None:
        """Forget an unanswered claim that nobody took over."""
        await self._claims.delete_one(_unanswered(claim) | {"holder": claim.holder})

    async def let_go(self, claim: Claim) -> None:
        """Hold an unanswered claim no longer."""
        await self._claims.update_one(
            _unanswered(claim) | {"holder": claim.holder}, [{"$set": {"held_until": "$$NOW"}}]
        )


def _unanswered(claim: Claim) -> dict[str, Any]:
    return {"_id": claim.id, "new_id": claim.new_id, "answer": None}


def _with_answer(claim: Claim, answer: KeptAnswer) -> dict[str, Any]:
    kept = {"status": answer.status, "headers": answer.headers, "body": answer.sealed_body}
    return {"$set": _claim_fields(claim) | {"answer": kept}}


def _standing(found: Claim | None, claim: Claim) -> KeptAnswer | None:
    """Return the answer that was kept before, unless the key belongs to another request by now."""
    return found.answer if found is not None and found.new_id == claim.new_id else None


def _duplicates(error: BulkWriteError) -> set[int]:
    """Return which writes met a row that was there already. Raises the error if anything else went wrong."""
    failures = error.details["writeErrors"]
    if error.details.get("writeConcernErrors") or any(each["code"] != _DUPLICATE for each in failures):
        raise error
    return {each["index"] for each in failures}


def _claim_fields(claim: Claim) -> dict[str, Any]:
    return {name: value for name, value in vars(claim).items() if name not in {"id", "answer"}}


def _claim(row: dict[str, Any]) -> Claim:
    kept = row["answer"]
    answer = KeptAnswer(kept["status"], kept["headers"], kept["body"]) if kept else None
    fields = {name: row[name] for name in ("fingerprint", "new_id", "holder", "held_until", "ends_at")}
    return Claim(id=row["_id"], answer=answer, **fields)


def _account(row: dict[str, Any]) -> Account:
    return Account(
        id=row["_id"],
        name=row["name"],
        created_at=row["created_at"],
        priority_boost=row["priority_boost"],
        disabled_at=row["disabled_at"],
    )


def _key(row: dict[str, Any]) -> ApiKey:
    return ApiKey(
        kid=row["_id"],
        account=row["account"],
        verifier=bytes(row["verifier"]),
        name=row["name"],
        scopes=tuple(row["scopes"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"],
    )
