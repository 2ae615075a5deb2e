"""Permissions: nobody may say or hear what the registry does not list for them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom_contract import permissions, registry, streams
from gridloom_contract.registry import CHANNELS, SERVICES, WORKER

every_service = pytest.mark.parametrize("service", SERVICES)
workers = st.text(alphabet="abcdefghijklmnopqrstuvwxyz234567", min_size=12, max_size=12).map(lambda name: f"w{name}")


def is_within(narrow: str, wide: str) -> bool:
    """Say whether every subject that matches `narrow` also matches `wide`."""
    inner, outer = narrow.split("."), wide.split(".")
    for position, token in enumerate(outer):
        if token == ">":
            return len(inner) > position
        if position >= len(inner) or inner[position] == ">" or token not in ("*", inner[position]):
            return False
    return len(inner) == len(outer)


def do_overlap(one: str, other: str) -> bool:
    """Say whether some subject matches both patterns."""
    left, right = one.split("."), other.split(".")
    for mine, yours in zip(left, right, strict=False):
        if ">" in (mine, yours):
            return True
        if "*" not in (mine, yours) and mine != yours:
            return False
    return len(left) == len(right)


def subjects_sent_by(party: str) -> list[str]:
    return [channel.subject for channel in CHANNELS if party in channel.senders]


def subjects_heard_by(party: str) -> list[str]:
    return [channel.subject for channel in CHANNELS if party in channel.hearers]


def unexplained(allowed: tuple[str, ...], listed: list[str]) -> list[str]:
    """Return what is allowed without being within something listed."""
    return [subject for subject in allowed if not any(is_within(subject, wide) for wide in listed)]


def jetstream_calls_of_the_consumer(service: str) -> list[str]:
    """Return what a service needs to read, under its own name, the streams that the registry has it consume."""
    consumed = {channel.stream for channel in CHANNELS if service in channel.consumers}
    verbs = ("CREATE", "INFO", "MSG.NEXT")
    calls = [f"$JS.API.CONSUMER.{verb}.{name}.{service}" for name in consumed for verb in verbs]
    return calls + [f"$JS.ACK.{name}.{service}.>" for name in consumed]


@every_service
def test_a_service_sends_what_the_registry_lists_and_its_jetstream_calls(service: str) -> None:
    jetstream = [*permissions.JETSTREAM_RIGHTS.get(service, ()), *jetstream_calls_of_the_consumer(service)]
    assert unexplained(permissions.of_service(service).publish, [*subjects_sent_by(service), *jetstream]) == []


@every_service
def test_a_service_hears_what_the_registry_lists_and_its_own_inbox(service: str) -> None:
    inbox = f"{permissions.service_inbox(service)}.>"
    allowed = permissions.of_service(service).subscribe
    beyond_the_registry = unexplained(allowed, [*subjects_heard_by(service), inbox])
    # One pattern for all facts, where every single fact is allowed already.
    assert beyond_the_registry in ([], ["event.*.*"])
    if beyond_the_registry:
        assert {channel.subject for channel in registry.FACTS.values()} <= set(allowed)


@every_service
def test_a_service_can_do_all_that_the_registry_asks_of_it(service: str) -> None:
    allowed = permissions.of_service(service)
    assert unexplained(tuple(subjects_sent_by(service)), list(allowed.publish)) == []
    assert unexplained(tuple(subjects_heard_by(service)), list(allowed.subscribe)) == []


@every_service
def test_only_the_scheduler_changes_streams_and_the_consumers_of_others(service: str) -> None:
    changes = ("CREATE", "UPDATE", "DELETE", "PURGE")
    changing = {right for right in permissions.of_service(service).publish if any(verb in right for verb in changes)}
    own = set(jetstream_calls_of_the_consumer(service))
    assert changing <= own or service == registry.SCHEDULER


@given(workers)
def test_a_worker_sends_only_its_own_part_of_the_worker_protocol(worker: str) -> None:
    public = [channel.subject for channel in CHANNELS if channel.for_workers and WORKER in channel.senders]
    acknowledging = [f"$JS.ACK.{stream}.{worker}.>" for stream in streams.WORK_STREAMS.values()]
    allowed = permissions.of_worker(worker).publish
    assert unexplained(allowed, public + acknowledging) == []
    assert all(worker in subject.split(".") for subject in allowed)


@given(workers)
def test_a_worker_hears_only_what_is_meant_for_it(worker: str) -> None:
    public = [channel.subject for channel in CHANNELS if channel.for_workers and WORKER in channel.hearers]
    inbox = f"{permissions.worker_inbox(worker)}.>"
    allowed = permissions.of_worker(worker).subscribe
    assert unexplained(allowed, [*public, inbox]) == []
    assert all(worker in subject.split(".") for subject in allowed)
    assert not permissions.of_worker(worker).may_respond


@given(workers, workers)
def test_two_workers_share_not_one_subject(one: str, other: str) -> None:
    if one == other:
        return
    mine, yours = permissions.of_worker(one), permissions.of_worker(other)
    for left, right in (
        (mine.publish, yours.publish),
        (mine.subscribe, yours.subscribe),
        (mine.publish, yours.subscribe),
    ):
        assert not [(a, b) for a in left for b in right if do_overlap(a, b)]


@given(workers)
def test_all_that_a_worker_may_do_leads_across_the_border(worker: str) -> None:
    border, allowed = permissions.BORDER, permissions.of_worker(worker)
    assert unexplained(allowed.publish, [*border.said_by_workers, *border.acknowledgements]) == []
    assert unexplained(allowed.subscribe, list(border.heard_by_workers)) == []


@given(workers)
def test_nothing_crosses_the_border_but_what_some_worker_may_do(worker: str) -> None:
    border, allowed = permissions.BORDER, permissions.of_worker(worker)
    for crossing in (*border.said_by_workers, *border.acknowledgements):
        assert unexplained(allowed.publish, [crossing]) != list(allowed.publish), crossing
    for crossing in border.heard_by_workers:
        assert unexplained(allowed.subscribe, [crossing]) != list(allowed.subscribe), crossing


def test_no_call_of_jetstream_crosses_the_border() -> None:
    everything = [*permissions.BORDER.said_by_workers, *permissions.BORDER.heard_by_workers]
    calls = ["$JS.API.>", "$KV.>", "$SYS.>", "event.>", *(f"_INBOX.{service}.>" for service in SERVICES)]
    assert not [(a, b) for a in [*everything, *permissions.BORDER.acknowledgements] for b in calls if do_overlap(a, b)]


@given(workers)
def test_a_worker_hears_no_inbox_of_a_service(worker: str) -> None:
    inboxes = [f"{permissions.service_inbox(service)}.>" for service in SERVICES]
    assert not [(a, b) for a in permissions.of_worker(worker).subscribe for b in inboxes if do_overlap(a, b)]


@every_service
def test_no_service_hears_the_inbox_of_another(service: str) -> None:
    others = [f"{permissions.service_inbox(other)}.>" for other in SERVICES if other != service]
    assert not [(a, b) for a in permissions.of_service(service).subscribe for b in others if do_overlap(a, b)]


@pytest.mark.parametrize(
    ("narrow", "wide", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.*", True),
        ("a.*", "a.b", False),
        ("a.*.c", "a.>", True),
        ("a.>", "a.*", False),
        ("a", "a.>", False),
        ("a.b.c", "a.b", False),
        ("a.b", "a.b.c", False),
    ],
)
def test_the_measure_used_here_is_the_server_s(narrow: str, wide: str, expected: bool) -> None:
    assert is_within(narrow, wide) is expected
