"""A service is a value: what it answers, hears, consumes and does in time, as a table that can be read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from gridloom_contract.base import Message
from gridloom_contract.registry import Channel
from gridloom_kit.bus import Bus

Handler = Callable[[Any], Awaitable[Any]]


@dataclass(frozen=True)
class Answer:
    """Requests on `channel`, shared among the replicas of the service."""

    channel: Channel
    handler: Handler


@dataclass(frozen=True)
class Hear:
    """Messages on `channel`, heard by every replica."""

    channel: Channel
    handler: Handler


@dataclass(frozen=True)
class Consume:
    """Stored messages on `channels`, each handled by one replica until it is acknowledged."""

    channels: tuple[Channel, ...]
    durable: str
    handler: Handler
    at_once: int = 64


@dataclass(frozen=True)
class Tick:
    """Something done every `every_seconds`, never twice at the same time."""

    name: str
    every_seconds: float
    handler: Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Task:
    """Something that runs as long as the service and ends soon after its event is set."""

    name: str
    run: Callable[[asyncio.Event], Awaitable[None]]


@dataclass(frozen=True)
class Check:
    """What must hold for the service to be ready; `probe` raises if it does not."""

    name: str
    probe: Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Service:
    """The whole of a service."""

    name: str
    bus: Bus
    answers: tuple[Answer, ...] = ()
    hears: tuple[Hear, ...] = ()
    consumes: tuple[Consume, ...] = ()
    ticks: tuple[Tick, ...] = ()
    tasks: tuple[Task, ...] = ()
    checks: tuple[Check, ...] = ()


def answer(channel: Channel, handler: Callable[[Any], Awaitable[Message]]) -> Answer:
    """Answer requests: `handler(message)` returns the reply or raises a `FaultError`."""
    return Answer(channel, handler)


def hear(channel: Channel, handler: Callable[[Any], Awaitable[None]]) -> Hear:
    """Hear what is said to every replica: `handler(message)`."""
    return Hear(channel, handler)


def on(channel: Channel | tuple[Channel, ...], durable: str, handler: Handler) -> Consume:
    """Consume stored messages: `handler(message)` returns, or raises `Retry` or `Reject`."""
    return Consume(channel if isinstance(channel, tuple) else (channel,), durable, handler)


def tick(name: str, every_seconds: float, handler: Callable[[], Awaitable[None]]) -> Tick:
    """Do something again and again; a failure is logged and counted, and the next time comes."""
    return Tick(name, every_seconds, handler)


def task(name: str, run: Callable[[asyncio.Event], Awaitable[None]]) -> Task:
    """Run something for the life of the service: `run(stop)`."""
    return Task(name, run)


def check(name: str, probe: Callable[[], Awaitable[None]]) -> Check:
    """Make readiness depend on `probe()`, which raises while it does not hold."""
    return Check(name, probe)
