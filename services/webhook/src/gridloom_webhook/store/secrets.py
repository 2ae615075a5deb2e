"""The accounts' signing secrets, sealed. Each account has one or, while the last one is replaced, more."""

from __future__ import annotations

from pymongo import ReturnDocument

from gridloom_kit.mongo import Database, Document
from gridloom_webhook.record import SealedSecret
from gridloom_webhook.store.indexes import SECRETS


class SecretStore:
    """Every write is majority-journaled."""

    def __init__(self, database: Database) -> None:
        self._secrets = database[SECRETS]

    async def find(self, account: str) -> list[SealedSecret]:
        """Return the account's secrets, newest first; none if it never had one."""
        document = await self._secrets.find_one({"_id": account})
        return _secrets_of(document) if document else []

    async def make(self, account: str, sealed: str) -> list[SealedSecret]:
        """Give the account its first secret if it has none. Returns what it has then."""
        document = await self._secrets.find_one_and_update(
            {"_id": account},
            {"$setOnInsert": {"secrets": [{"sealed": sealed}]}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        return _secrets_of(document)

    async def replace(self, account: str, seen: list[SealedSecret], secrets: list[SealedSecret]) -> bool:
        """Replace what was seen. False if somebody else did meanwhile."""
        query = {"_id": account, "secrets": [_written(secret) for secret in seen]}
        change = {"$set": {"secrets": [_written(secret) for secret in secrets]}}
        return (await self._secrets.update_one(query, change)).matched_count == 1


def _secrets_of(document: Document) -> list[SealedSecret]:
    return [SealedSecret(one["sealed"], one.get("until")) for one in document["secrets"]]


def _written(secret: SealedSecret) -> Document:
    return {"sealed": secret.sealed} | ({"until": secret.until} if secret.until else {})
