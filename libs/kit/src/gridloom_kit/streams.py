"""Streams are made from the contract's own table; leases are keys that vanish by age."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from nats.errors import Error as NatsError

from gridloom_contract.streams import Stream
from gridloom_kit.bus import Bus
from gridloom_kit.jetstream import JetStreamApiError, api
from gridloom_kit.log import get_logger

log = get_logger()

_ALREADY_THERE = 10058


async def ensure_streams(bus: Bus, streams: Iterable[Stream], replicas: int = 1) -> tuple[str, ...]:
    """Make every stream that is missing, bring the others to the table's configuration, and return the names newly
    made.

    Safe to repeat and to run from two replicas at once: the same configuration is the same stream.
    """
    made = []
    for stream in streams:
        config = {**stream.config, "name": stream.name, "num_replicas": replicas}
        if await _make(bus, stream.name, config):
            made.append(stream.name)
    return tuple(made)


async def _make(bus: Bus, name: str, config: dict[str, object]) -> bool:
    try:
        await api(bus, f"STREAM.INFO.{name}")
    except JetStreamApiError as error:
        if error.code != 404:
            raise
    else:
        await api(bus, f"STREAM.UPDATE.{name}", config)
        return False
    try:
        await api(bus, f"STREAM.CREATE.{name}", config)
    except JetStreamApiError as error:
        if error.err_code != _ALREADY_THERE:
            raise
        return False
    log.info("streams.made", stream=name)
    return True


class KeyLease:
    """A key in a bucket whose keys vanish by age: who holds it, holds it until it stops renewing.

    Time is the NATS server's. A lease is a hint about who should work, never a fence: every write is still compared.
    """

    def __init__(self, bus: Bus, bucket: str, key: str) -> None:
        self._bus = bus
        self._bucket = bucket
        self.key = key
        self._revision = 0

    @property
    def is_held(self) -> bool:
        """Whether the last acquire or renew succeeded."""
        return self._revision > 0

    async def acquire(self, owner: str) -> bool:
        """Take the key if nobody has it. Returns whether it is ours now."""
        return await self._put(owner, expected=0)

    async def renew(self, owner: str) -> bool:
        """Keep the key for another lease. Returns False once it was lost; then `acquire` again."""
        return await self._put(owner, expected=self._revision)

    async def release(self) -> None:
        """Give the key up at once, so that nobody waits for it to age."""
        if self.is_held:
            self._revision = 0
            await api(self._bus, f"STREAM.PURGE.KV_{self._bucket}", {"filter": f"$KV.{self._bucket}.{self.key}"})

    async def _put(self, owner: str, expected: int) -> bool:
        headers = {"Nats-Expected-Last-Subject-Sequence": str(expected)}
        subject = f"$KV.{self._bucket}.{self.key}"
        try:
            received = await self._bus.client.request(subject, owner.encode(), timeout=2.0, headers=headers)
        except NatsError:
            return self._lost()
        answer = msgspec.json.decode(received.data)
        if "error" in answer:
            return self._lost()
        self._revision = int(answer["seq"])
        return True

    def _lost(self) -> bool:
        self._revision = 0
        return False


async def keys(bus: Bus, bucket: str) -> tuple[str, ...]:
    """Return the keys that live in a bucket now. Raises `JetStreamApiError` (404) if the bucket is gone."""
    prefix = f"$KV.{bucket}."
    info = await api(bus, f"STREAM.INFO.KV_{bucket}", {"subjects_filter": prefix + ">"})
    return tuple(subject.removeprefix(prefix) for subject in info["state"].get("subjects") or {})
