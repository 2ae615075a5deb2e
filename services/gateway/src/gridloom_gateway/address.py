"""Where a request comes from, and how its client reaches us. Forwarded headers count only from trusted proxies."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence

from aiohttp import hdrs, web

_FORWARDED_FOR = "X-Forwarded-For"
_MAX_HOPS = 32

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Addresses:
    """Knows the trusted proxies. Raises ValueError if one of them is no network."""

    def __init__(self, trusted_proxies: Sequence[str], public_base_url: str = "") -> None:
        self._trusted: tuple[Network, ...] = tuple(ipaddress.ip_network(text) for text in trusted_proxies)
        self._public_base_url = public_base_url.rstrip("/")

    def client_of(self, request: web.Request) -> str:
        """Return the address of the client: the last one in the chain that is no trusted proxy."""
        address = request.remote or ""
        if not self._trusted:
            return address
        chain = ",".join(request.headers.getall(_FORWARDED_FOR, ())).split(",")[-_MAX_HOPS:]
        for hop in reversed(chain):
            if not self._is_trusted(address) or not hop.strip():
                break
            address = hop.strip()
        return address

    def base_url_of(self, request: web.Request) -> str:
        """Return how the client reaches the gateway, without a slash at the end."""
        if self._public_base_url:
            return self._public_base_url
        scheme = self._forwarded(request).get(hdrs.X_FORWARDED_PROTO, request.scheme)
        return f"{scheme}://{self._authority_of(request)}"

    def host_of(self, request: web.Request) -> str:
        """Return the name by which the client reaches the gateway, in lower case and without a port."""
        return self._authority_of(request).partition(":")[0].lower().rstrip(".")

    def _authority_of(self, request: web.Request) -> str:
        return self._forwarded(request).get(hdrs.X_FORWARDED_HOST, request.host)

    def _forwarded(self, request: web.Request) -> Mapping[str, str]:
        return request.headers if self._is_trusted(request.remote or "") else {}

    def _is_trusted(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._trusted if network.version == parsed.version)
