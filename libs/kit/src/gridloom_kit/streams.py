"""Streams are made from the contract's own table; leases are keys that vanish by age."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import msgspec
from nats.errors import Error as NatsError

from gridloom_contract.streams import Stream
from gridloom_kit.bus import Bus
from gridloom_kit.jetstream import JetStreamApiError, api
from gridloom_kit.log import get_logger

log = get_logger()

_NO_SUCH_STREAM = 404
_ALREADY_THERE = 10058
_DELETION_SECONDS = 2.0


async def ensure_streams(bus: Bus, streams: Iterable[Stream], replicas: int = 1) -> tuple[str, ...]:
    """Make every stream that is missing, bring the others to the table's configuration, and return the names newly
    made.

    JetStream never changes where a stream is stored. One whose content `is_rebuilt` is deleted and made anew for that,
    or stays where it is if we may not delete it.
    Safe to repeat and to run from two replicas at once: the same configuration is the same stream.
    """
    wanted = tuple(streams)
    made = await asyncio.gather(*(_ensure(bus, stream, replicas) for stream in wanted))
    return tuple(stream.name for stream, is_made in zip(wanted, made, strict=True) if is_made)


async def _ensure(bus: Bus, stream: Stream, replicas: int) -> bool:
    config = {**stream.config, "name": stream.name, "num_replicas": replicas}
    storage = await _storage_of(bus, stream.name)
    is_elsewhere = storage is not None and storage != config["storage"] and stream.is_rebuilt
    if storage is None or (is_elsewhere and await _delete(bus, stream.name)):
        return await _make(bus, stream.name, config)
    await api(bus, f"STREAM.UPDATE.{stream.name}", {**config, "storage": storage} if is_elsewhere else config)
    return False


async def _storage_of(bus: Bus, name: str) -> str | None:
    """Return where the stream is stored, None if there is none."""
    try:
        return str((await api(bus, f"STREAM.INFO.{name}"))["config"]["storage"])
    except JetStreamApiError as error:
        if error.code != _NO_SUCH_STREAM:
            raise
        return None


async def _delete(bus: Bus, name: str) -> bool:
    """Delete the stream. Returns False if that is not allowed: the server's rights are from before we needed it."""
    try:
        await api(bus, f"STREAM.DELETE.{name}", timeout_seconds=_DELETION_SECONDS)
    except JetStreamApiError as error:
        if error.code != _NO_SUCH_STREAM:  # else another replica was first
            raise
    except NatsError as error:
        log.error("streams.not_deleted", stream=name, err=str(error))
        return False
    log.warning("streams.deleted", stream=name)
    return True


async def _make(bus: Bus, name: str, config: dict[str, object]) -> bool:
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
