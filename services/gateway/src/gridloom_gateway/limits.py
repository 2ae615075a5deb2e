"""How often something may go wrong before it is refused: a token bucket per client address."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

_MAX_ADDRESSES = 10_000
_IPV6_CUSTOMER_BITS = 64


class FailureLimit:
    """Allows `per_minute` failures an address, refilled evenly.

    Remembers a bounded number of addresses; the one that failed longest ago is forgotten first.
    """

    def __init__(self, per_minute: int, monotonic: Callable[[], float]) -> None:
        self._capacity = float(per_minute)
        self._refill_per_second = per_minute / 60.0
        self._monotonic = monotonic
        self._levels: dict[str, tuple[float, float]] = {}

    def wait_seconds(self, address: str) -> float:
        """Return how long this address must wait before it may fail again; 0 if it may now."""
        missing = 1.0 - self._level(customer_of(address))
        return max(0.0, missing / self._refill_per_second)

    def note_failure(self, address: str) -> None:
        """Count one failure of this address."""
        customer = customer_of(address)
        level = self._level(customer)
        self._levels.pop(customer, None)
        if len(self._levels) >= _MAX_ADDRESSES:
            del self._levels[next(iter(self._levels))]
        self._levels[customer] = (max(0.0, level - 1.0), self._monotonic())

    def _level(self, customer: str) -> float:
        known = self._levels.get(customer)
        if known is None:
            return self._capacity
        level, at = known
        return min(self._capacity, level + (self._monotonic() - at) * self._refill_per_second)


def customer_of(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 network that an IPv6 customer gets."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, _IPV6_CUSTOMER_BITS), strict=False))
