"""The registry: one row for everything that crosses the bus."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from importlib import import_module
from pkgutil import iter_modules

import pytest

import gridloom_contract
from gridloom_contract import events, export, fleet, registry, streams
from gridloom_contract.base import GrowingEnum, Message, Value, encode, tag_of
from gridloom_contract.registry import CHANNELS, Channel
from gridloom_contract.webhooks import WebhookOrder

MODULES = [import_module(f"gridloom_contract.{found.name}") for found in iter_modules(gridloom_contract.__path__)]


def messages_with_a_tag(root: type[Message] = Message) -> set[type[Message]]:
    """Return every message class; those that only gather shared fields have the tag of their class name."""
    below = {found for child in root.__subclasses__() for found in messages_with_a_tag(child)}
    return below if root.__subclasses__() else {root}


def classes_of_the_contract() -> list[type]:
    found = [kind for module in MODULES for kind in vars(module).values() if isinstance(kind, type)]
    return [kind for kind in found if kind.__module__.startswith("gridloom_contract")]


def enumerations() -> list[type[GrowingEnum]]:
    return GrowingEnum.__subclasses__()


@pytest.mark.parametrize("channel", CHANNELS, ids=lambda channel: channel.subject)
def test_every_channel_has_a_sender_and_a_hearer(channel: Channel) -> None:
    # The server itself republishes tokens and delivers orders, so their two halves stand in two rows.
    if channel not in (registry.LIVE_CHUNKS, *registry.DELIVERED_ORDERS):
        assert channel.senders
    if channel not in (registry.TOKEN_CHUNKS, *registry.ORDERS):
        assert channel.hearers or channel.consumers


def test_no_subject_stands_in_two_rows() -> None:
    subjects = [channel.subject for channel in CHANNELS]
    assert len(subjects) == len(set(subjects))


def test_every_message_is_in_the_registry() -> None:
    ours = {message for message in messages_with_a_tag() if message.__module__.startswith("gridloom_contract")}
    assert {tag_of(message) for message in ours} == set(export.messages())


def test_a_tag_is_noun_verb_version() -> None:
    for tag in export.messages():
        *words, version = tag.split(".")
        assert len(words) >= 2
        assert version.isdigit()


def test_a_row_with_a_stream_names_one_that_exists() -> None:
    existing = {stream.name for stream in streams.STREAMS}
    assert {channel.stream for channel in CHANNELS if channel.stream} <= existing


def test_no_collection_has_two_owners() -> None:
    owned = [name for names in registry.COLLECTIONS.values() for name in names]
    assert len(owned) == len(set(owned))


def test_a_fact_is_published_where_its_followers_listen() -> None:
    fact = events.JobRetried(job="j1", account="acme", seq=1, at=_some_time(), id="e1")
    assert registry.fact_subject(fact) == "event.retried.j1"


def test_the_webhook_service_hears_of_jobs_with_a_webhook_and_of_no_others() -> None:
    usual = {"job": "j1", "account": "acme", "seq": 1, "at": _some_time(), "id": "e1", "model": "m"}
    order = WebhookOrder(url="https://example.org/", sealed_key="sealed")
    heard = {channel.subject for channel in registry.facts_for(registry.WEBHOOK)}

    subjects = [registry.fact_subject(events.JobAccepted(**usual, webhook=webhook)) for webhook in (order, None)]

    assert subjects == ["event.accepted_hooked.j1", "event.accepted.j1"]
    assert heard == {f"event.{name}_hooked.*" for name in ("accepted", "started", "retried", "finished")}


@pytest.mark.parametrize("message", registry.HOOKED_FACTS)
def test_who_consumes_a_fact_of_a_job_consumes_it_of_a_job_with_a_webhook(message: type[Message]) -> None:
    assert {*registry.FACTS[message].consumers, registry.WEBHOOK} == {*registry.HOOKED_FACTS[message].consumers}


@pytest.mark.parametrize("enumeration", enumerations(), ids=lambda enumeration: enumeration.__name__)
def test_a_word_from_a_newer_version_reads_as_unknown(enumeration: type[GrowingEnum]) -> None:
    assert enumeration("a word of next year").value == "unknown"


def test_every_enumeration_of_the_contract_may_grow() -> None:
    enums = [kind for kind in classes_of_the_contract() if issubclass(kind, Enum)]
    assert all(issubclass(kind, GrowingEnum) for kind in enums)


def test_messages_and_their_parts_are_immutable_and_leave_out_defaults() -> None:
    structs = [kind for kind in classes_of_the_contract() if issubclass(kind, Message | Value)]
    assert structs
    assert all(kind.__struct_config__.frozen and kind.__struct_config__.omit_defaults for kind in structs)


def test_a_default_is_not_sent() -> None:
    assert encode(fleet.ListModels(account="acme")) == b'{"type":"models.list.1","account":"acme"}'


def _some_time() -> datetime:
    return datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
