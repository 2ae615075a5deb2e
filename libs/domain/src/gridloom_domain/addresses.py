"""Which internet addresses a stranger may have us connect to: the public ones, and not one more (OPS §4.3).

`ipaddress.is_global` alone is no filter: it lets multicast pass, and the IPv6 prefixes that lead to an IPv4 address.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_DENIED: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), why)
    for network, why in (
        ("64:ff9b::/96", "a NAT64 address"),
        ("64:ff9b:1::/48", "a NAT64 address"),
        ("2002::/16", "a 6to4 address"),
        ("2001::/32", "a Teredo address"),
        ("::/96", "an IPv4-compatible address"),
        ("5f00::/16", "a segment routing address"),
        ("3fff::/20", "a documentation address"),
        ("192.0.0.0/24", "a protocol assignment address"),
        ("192.88.99.0/24", "a 6to4 relay address"),
        ("168.63.129.16/32", "a cloud platform's own address"),
    )
)
_PRIVATE: tuple[Network, ...] = tuple(
    ip_network(network)
    for network in ("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)
"""What `allow_private` opens: this machine and private networks. Never link-local, where clouds keep their secrets."""


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return the networks written as `address/bits`. Raises ValueError."""
    return tuple(ip_network(text) for text in texts)


def refusal(address: str, *, allow_private: bool = False, also_denied: Iterable[Network] = ()) -> str | None:
    """Return why nobody may have us connect to this address, or None if it is an ordinary public one.

    An IPv4 address written as an IPv6 one counts as what it is; a zone (`%eth0`) is ignored.
    """
    try:
        found = _unmapped(ip_address(address.partition("%")[0]))
    except ValueError:
        return "not an address"
    if any(found in network for network in also_denied if network.version == found.version):
        return "denied by the operator"
    if allow_private and any(found in network for network in _PRIVATE if network.version == found.version):
        return None
    return "this machine itself" if found.is_loopback else _listed(found) or _special(found)


def _unmapped(address: Address) -> Address:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _listed(address: Address) -> str | None:
    return next((why for network, why in _DENIED if network.version == address.version and address in network), None)


def _special(address: Address) -> str | None:
    if address.is_multicast:
        return "a multicast address"
    if address.is_link_local:
        return "a link-local address"
    if isinstance(address, IPv6Address) and address.is_site_local:
        return "a site-local address"
    return "not a public address" if address.is_reserved or not address.is_global else None
