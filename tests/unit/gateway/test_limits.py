"""Failures are counted by client address and forgiven with time."""

from __future__ import annotations

from gridloom_gateway.limits import FailureLimit, customer_of


class Watch:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_an_address_may_fail_as_often_as_allowed_and_then_waits() -> None:
    watch = Watch()
    limit = FailureLimit(3, watch)

    waits = []
    for _ in range(4):
        waits.append(limit.wait_seconds("192.0.2.1"))
        limit.note_failure("192.0.2.1")

    assert waits == [0.0, 0.0, 0.0, 20.0]


def test_a_blocked_address_may_fail_again_after_its_wait() -> None:
    watch = Watch()
    limit = FailureLimit(1, watch)
    limit.note_failure("192.0.2.1")
    wait = limit.wait_seconds("192.0.2.1")

    watch.now += wait

    assert wait == 60.0
    assert limit.wait_seconds("192.0.2.1") == 0.0


def test_addresses_do_not_share_their_failures() -> None:
    limit = FailureLimit(1, Watch())
    limit.note_failure("192.0.2.1")

    assert limit.wait_seconds("192.0.2.2") == 0.0


def test_an_ipv6_customer_is_its_network() -> None:
    assert customer_of("2001:db8:1:2:aaaa::1") == customer_of("2001:db8:1:2:bbbb::2")
    assert customer_of("2001:db8:1:2::1") != customer_of("2001:db8:1:3::1")
    assert customer_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert customer_of("unix") == "unix"


def test_many_addresses_do_not_fill_the_memory() -> None:
    limit = FailureLimit(1, Watch())
    for number in range(10_050):
        limit.note_failure(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")

    assert limit.wait_seconds("10.0.0.0") == 0.0
    assert limit.wait_seconds("10.0.39.65") > 0
