"""Databases of a mongod that tests use one after another.

A new one costs the users of all services and their indexes, and dropping it costs as much again: more than most tests
do in it. So what one test leaves is emptied and borrowed again.
"""

from __future__ import annotations

import secrets as chance
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from pymongo import MongoClient, WriteConcern

from gridloom_local import mongo_setup

_RESTING: Final = 2
"""So many that were given back rest: whoever was killed in one of them has long been forgotten by mongod."""
_MANY_DOCUMENTS: Final = 1_000
"""What so many were deleted from is slow: mongod steps over each of them for minutes."""


class Databases:
    """Lends databases, each with the users of all services and with nothing in it."""

    def __init__(self, admin: MongoClient[dict[str, Any]], passwords: Mapping[str, str]) -> None:
        self._admin = admin
        self._passwords = passwords
        self._resting: deque[str] = deque()

    def borrow(self) -> str:
        """Return the name of an empty database that nobody else uses. It may have collections and indexes."""
        while len(self._resting) > _RESTING:
            name = self._resting.popleft()
            if self._emptied(name) < _MANY_DOCUMENTS:
                return name
            mongo_setup.forget_database(self._admin, name)
        return self.make()

    def give_back(self, name: str) -> None:
        """Let others have it. It need not be empty."""
        self._resting.append(name)

    def make(self) -> str:
        """Make a database that nobody has used."""
        name = f"test_{chance.token_hex(6)}"
        mongo_setup.admit_services(self._admin, name, self._passwords)
        return name

    def _emptied(self, name: str) -> int:
        """Empty a database. Return how many documents there were."""
        database, deleted = self._admin[name], 0
        collections = database.list_collection_names()
        for each in collections:
            last = each == collections[-1]
            # A majority that has the last has all; without the journal it would wait for a timer.
            concern = WriteConcern(w="majority", j=True) if last else WriteConcern(w=1)
            deleted += database.get_collection(each, write_concern=concern).delete_many({}).deleted_count
        return deleted
