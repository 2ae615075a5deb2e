"""No address inside anybody's network may be called, however it is written (OPS §4.3, the whole list)."""

from __future__ import annotations

import pytest

from gridloom_domain.addresses import networks, refusal

PUBLIC = ("8.8.8.8", "93.184.216.34", "172.32.0.1", "192.169.0.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "2a00::1")
PRIVATE = (
    *("127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "::1", "fc00::1"),
    *("fd12:3456::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"),
)
NEVER = (
    *("0.0.0.1", "0.1.2.3", "100.64.0.1", "169.254.169.254", "::ffff:169.254.169.254", "192.0.0.1", "192.0.0.8"),
    *("192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255"),
    *("240.0.0.1", "255.255.255.255", "168.63.129.16", "::ffff:168.63.129.16"),
    *("::", "::127.0.0.1", "::8.8.8.8", "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1"),
    *("2002:7f00:1::", "2002:808:808::1", "2001::1", "2001:0:808:808::1", "2001:db8::1", "3fff::1", "5f00::1"),
    *("fe80::1", "fe80::1%lo", "fe80::1%25lo", "fec0::1", "ff02::1", "ff0e::1", "100::1"),
)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_called(address: str) -> None:
    assert refusal(address) is None


@pytest.mark.parametrize("address", [*PRIVATE, *NEVER])
def test_no_other_address_may_be_called(address: str) -> None:
    assert refusal(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_tests_and_the_demo_may_call_this_machine_and_private_networks(address: str) -> None:
    assert refusal(address, allow_private=True) is None


@pytest.mark.parametrize("address", NEVER)
def test_even_they_may_call_nothing_else(address: str) -> None:
    assert refusal(address, allow_private=True)


@pytest.mark.parametrize("address", ["", "localhost", "1.2.3", "0x7f.1", "2130706433", "127.1", "1.2.3.4.5", "::g"])
def test_what_is_no_address_may_not_be_called(address: str) -> None:
    assert refusal(address) == "not an address"


def test_an_operator_may_deny_more() -> None:
    denied = networks(["8.8.8.0/24", "2606:4700::/32"])
    assert refusal("8.8.8.8", also_denied=denied) == "denied by the operator"
    assert refusal("::ffff:8.8.8.8", also_denied=denied) == "denied by the operator"
    assert refusal("2606:4700:4700::1111", also_denied=denied) == "denied by the operator"
    assert refusal("10.0.0.1", allow_private=True, also_denied=networks(["10.0.0.0/8"])) == "denied by the operator"
    assert refusal("9.9.9.9", also_denied=denied) is None
