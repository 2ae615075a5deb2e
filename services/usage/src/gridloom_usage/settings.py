"""The usage service's settings: `GRIDLOOM_USAGE_<FIELD>`. Each says its unit and why it is what it is."""

from __future__ import annotations

from gridloom_kit.settings import ServiceSettings


class Settings(ServiceSettings, frozen=True, kw_only=True):
    """What an operator may choose."""

    mongo_url: str
    """Where the ledger is, with this service's own user."""

    mongo_database: str = "gridloom"
    """The database of `ledger`, `rollups`, `batches` and `watermarks`."""

    batch_endings: int = 512
    """Most endings written together: as many as arrive while a write is under way, so it only matters under load."""

    sweep_seconds: float = 10.0
    """How often, and from which age on, batches that another process left half done are finished."""

    catch_up_seconds: float = 60.0
    """How often the ledger is compared with the jobs themselves, for facts that were lost on their way."""

    settle_seconds: float = 30.0
    """How old an ending must be before its absence from the ledger means anything: the bus is given that long."""
