"""What a store raises when MongoDB cannot be reached or refuses: the write may or may not have happened."""

from __future__ import annotations

from pymongo.errors import PyMongoError

StoreError = PyMongoError
