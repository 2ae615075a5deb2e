"""Whose address counts, and what a forwarded header is worth."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from gridloom_gateway.address import Addresses


class Peer:
    """A transport from somewhere."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get_extra_info(self, name: str, default: object = None) -> object:
        return (self.address, 1234) if name == "peername" else default


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1, 10.0.0.7", "198.51.100.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.2,10.0.0.3", "10.0.0.2"),
    ],
)
def test_a_forwarded_address_counts_only_from_a_trusted_proxy(peer: str, forwarded: str, client: str) -> None:
    request = make_mocked_request("GET", "/", headers={"X-Forwarded-For": forwarded}, transport=Peer(peer))

    assert Addresses(("10.0.0.0/8", "fd00::/8")).client_of(request) == client


def test_without_trusted_proxies_the_peer_is_the_client() -> None:
    request = make_mocked_request("GET", "/", headers={"X-Forwarded-For": "1.1.1.1"}, transport=Peer("10.0.0.1"))

    assert Addresses(()).client_of(request) == "10.0.0.1"


def test_a_public_url_is_the_base_of_every_link() -> None:
    request = make_mocked_request("GET", "/", headers={"Host": "inside:8080"}, transport=Peer("10.0.0.1"))

    assert Addresses((), "https://grid.test/").base_url_of(request) == "https://grid.test"
    assert Addresses(()).base_url_of(request) == "http://inside:8080"


def test_a_trusted_proxy_says_how_the_client_came() -> None:
    headers = {"Host": "inside:8080", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "grid.test"}
    request = make_mocked_request("GET", "/", headers=headers, transport=Peer("10.0.0.1"))

    assert Addresses(("10.0.0.0/8",)).base_url_of(request) == "https://grid.test"
    assert Addresses(("192.0.2.0/24",)).base_url_of(request) == "http://inside:8080"


def test_a_proxy_that_is_no_network_is_refused() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        Addresses(("nonsense",))
