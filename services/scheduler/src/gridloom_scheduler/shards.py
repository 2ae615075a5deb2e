"""Shards: which part of the fleet this replica looks after.

Each replica keeps a key of its own in the bucket, so all know how many live, and each takes at most its share of the
shards. A key vanishes two seconds after its owner stopped renewing it, and then whoever has room takes it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

from gridloom_contract.streams import SHARD_BUCKET
from gridloom_contract.subjects import SHARDS
from gridloom_kit.bus import Bus
from gridloom_kit.jetstream import BusError, JetStreamApiError
from gridloom_kit.log import get_logger
from gridloom_kit.streams import KeyLease, keys
from gridloom_scheduler import metrics

log = get_logger()

_RENEW_SECONDS = 0.6
_REPLICA, _SHARD = "replica-", "shard-"
OnShard = Callable[[int], Awaitable[None]]
MakeStreams = Callable[[], Awaitable[object]]


def share_of(replicas: int) -> int:
    """Return how many shards one of so many replicas takes at most."""
    return math.ceil(SHARDS / max(replicas, 1))


class Shards:
    """Takes, renews and gives up shards.

    `gained` and `lost` are awaited for each shard that comes or goes; `make_streams` where the bucket may be missing.
    """

    def __init__(self, bus: Bus, replica: str, make_streams: MakeStreams, gained: OnShard, lost: OnShard) -> None:
        self._bus = bus
        self._name = replica
        self._make_streams = make_streams
        self._gained = gained
        self._lost = lost
        self._presence = KeyLease(bus, SHARD_BUCKET, _REPLICA + replica)
        self._leases = {shard: KeyLease(bus, SHARD_BUCKET, f"{_SHARD}{shard}") for shard in range(SHARDS)}
        self._held: set[int] = set()
        self._replicas = 1

    @property
    def held(self) -> frozenset[int]:
        """The shards this replica looks after now."""
        return frozenset(self._held)

    @property
    def is_alone(self) -> bool:
        """Whether no other replica was seen lately."""
        return self._replicas <= 1

    def leads(self) -> bool:
        """Whether this replica does what only one should do."""
        return 0 in self._held

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the shards until told to stop; then give them up at once."""
        while not stop.is_set():
            try:
                await self._round()
            except (BusError, JetStreamApiError) as error:
                log.warning("shards.round_failed", err=str(error))
            await _pause(stop)
        await self._give_up_all()

    async def _round(self) -> None:
        if not await self._keep(self._presence):
            await self._make_streams()
            await self._keep(self._presence)
        await self._renew()
        present = await keys(self._bus, SHARD_BUCKET)
        self._replicas = max(1, sum(key.startswith(_REPLICA) for key in present))
        await self._balance({int(key.removeprefix(_SHARD)) for key in present if key.startswith(_SHARD)})
        metrics.shards_held.set(len(self._held))

    async def _renew(self) -> None:
        held = sorted(self._held)
        kept = await asyncio.gather(*(self._keep(self._leases[shard]) for shard in held))
        for shard, is_kept in zip(held, kept, strict=True):
            if not is_kept:
                await self._lose(shard)

    async def _balance(self, taken: set[int]) -> None:
        share = share_of(self._replicas)
        for shard in sorted(self._held, reverse=True)[: max(0, len(self._held) - share)]:
            await self._lose(shard)
            await self._leases[shard].release()
        for shard in sorted(set(range(SHARDS)) - taken):
            if len(self._held) < share and await self._leases[shard].acquire(self._name):
                await self._gain(shard)

    async def _keep(self, lease: KeyLease) -> bool:
        """Renew a lease, or take it again if its key has vanished (a wiped bucket) and nobody has it yet."""
        return (lease.is_held and await lease.renew(self._name)) or await lease.acquire(self._name)

    async def _gain(self, shard: int) -> None:
        self._held.add(shard)
        log.info("shard.gained", shard=shard)
        await self._gained(shard)

    async def _lose(self, shard: int) -> None:
        self._held.discard(shard)
        log.info("shard.lost", shard=shard)
        await self._lost(shard)

    async def _give_up_all(self) -> None:
        leases = [self._leases[shard] for shard in sorted(self._held)]
        for shard in sorted(self._held):
            await self._lose(shard)
        for lease in (*leases, self._presence):
            try:
                await lease.release()
            except (BusError, JetStreamApiError) as error:
                log.warning("shard.not_released", err=str(error))


async def _pause(stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(_RENEW_SECONDS):
            await stop.wait()
    except TimeoutError:
        return
