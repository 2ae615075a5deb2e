"""What a store raises when MongoDB does not do its part."""

from __future__ import annotations

from pymongo.errors import PyMongoError

StoreError = PyMongoError
"""A write or a read that did not happen, or whose fate is unknown. Callers catch it by this name."""
