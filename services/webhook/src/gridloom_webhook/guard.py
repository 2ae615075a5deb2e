"""The last gate before a connection: no address that a stranger may not have us reach gets a socket (OPS §4.3).

The check is on the very address that is connected to, so a name that changes its answer gains nothing. A name with one
bad address among good ones is refused whole: it is either a mistake or an attempt.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import aiodns
from aiohttp.abc import AbstractResolver, ResolveResult

from gridloom_domain.addresses import refusal
from gridloom_domain.targets import TargetRules

AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]
_DNS_TRY_SECONDS = 1.5
_DNS_TRIES = 2


class BlockedAddress(OSError):
    """The target is an address that must not be reached."""


class NameNotFound(OSError):
    """The name has no address, or nobody said so in time."""


def check_address(address: str, rules: TargetRules) -> None:
    """Return if `address` may be connected to. Raises `BlockedAddress`."""
    why = refusal(address, allow_private=rules.allow_private, also_denied=rules.denied)
    if why:
        raise BlockedAddress(f"{address} is {why}")


def guarded_sockets(rules: TargetRules) -> Callable[[AddressInfo], socket.socket]:
    """Return the socket factory of a connector: every address comes by, written out or looked up."""

    def make(info: AddressInfo) -> socket.socket:
        family, kind, protocol, _, address = info
        check_address(str(address[0]), rules)
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made

    return make


class GuardedResolver(AbstractResolver):
    """Looks names up, and refuses one of whose addresses any must not be reached.

    Asynchronous by itself (c-ares): lookups that hang keep no thread from other accounts' lookups.
    """

    def __init__(self, rules: TargetRules, servers: tuple[str, ...] = ()) -> None:
        self._rules = rules
        self._resolver = aiodns.DNSResolver(
            nameservers=list(servers) or None, timeout=_DNS_TRY_SECONDS, tries=_DNS_TRIES
        )

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return all addresses of `host`. Raises `NameNotFound` or `BlockedAddress`."""
        try:
            found = await self._resolver.getaddrinfo(host, port=port, type=socket.SOCK_STREAM, family=family)
        except aiodns.error.DNSError as error:
            raise NameNotFound(f"{host}: {error.args[1] if len(error.args) > 1 else error}") from error
        addresses = [(node.family, _text(node.addr[0])) for node in found.nodes]
        if not addresses:
            raise NameNotFound(f"{host}: no address")
        for _, address in addresses:
            self._check(host, address)
        return [_result(host, address, port, kind) for kind, address in addresses]

    def _check(self, host: str, address: str) -> None:
        """The address itself is not told: it may be known only inside the network this runs in."""
        try:
            check_address(address, self._rules)
        except BlockedAddress:
            raise BlockedAddress(f"{host} has an address that may not be called") from None

    async def close(self) -> None:
        """Forget what is being looked up."""
        await self._resolver.close()


def _text(address: bytes | str) -> str:
    return address.decode("ascii") if isinstance(address, bytes) else address


def _result(host: str, address: str, port: int, family: int) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=family,
        proto=0,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
