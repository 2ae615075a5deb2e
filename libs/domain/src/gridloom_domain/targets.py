"""Which URLs a user may have us call: checked when a job is submitted, long before anything connects (OPS §4.3).

This catches mistakes and plain attempts. What a name resolves to is checked by whoever connects, address by address.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from gridloom_domain.addresses import Network, refusal
from gridloom_domain.errors import Invalid

MOST_CHARACTERS = 2048
USUAL_PORTS = frozenset({443, 80, 8443})

_PORT_OF = {"https": 443, "http": 80}
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\xa0\\]")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*", re.ASCII)
_INTERNAL = frozenset({"local", "internal", "svc", "localhost", "localdomain", "home", "lan", "corp", "intranet"})
"""Names that end so are resolved inside somebody's network. `cluster.local` and `svc.cluster.local` end so too."""


@dataclass(frozen=True)
class TargetRules:
    """What an operator allows. `allow_private` is for tests and the demo: http, any port, this machine."""

    allow_private: bool = False
    ports: frozenset[int] = USUAL_PORTS
    own_hosts: frozenset[str] = frozenset()
    """The grid's own names, which nobody may have it call."""
    denied: tuple[Network, ...] = ()


STRICT = TargetRules()


def check_target(url: str, rules: TargetRules = STRICT, field: str = "webhook_url") -> None:
    """Return if `url` may be called. Raises `Invalid` on `field`, with a sentence that says what to change."""
    problem = problem_with(url, rules)
    if problem:
        raise Invalid(problem, field)


def problem_with(url: str, rules: TargetRules = STRICT) -> str | None:
    """Return why `url` may not be called, or None."""
    if len(url) > MOST_CHARACTERS:
        return f"a URL has at most {MOST_CHARACTERS} characters, not {len(url)}"
    if _UNPRINTABLE.search(url):
        return "a URL contains no blanks, backslashes or control characters"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"not a URL: {error}"
    return _problem_with_parts(parts, port, rules) or _problem_with_host(parts.hostname or "", rules)


def _problem_with_parts(parts: SplitResult, port: int | None, rules: TargetRules) -> str | None:
    schemes = ("https", "http") if rules.allow_private else ("https",)
    if parts.scheme not in schemes:
        return f"a URL starts with {' or '.join(schemes)}, not {parts.scheme[:20]!r}"
    if "@" in parts.netloc:
        return "a URL carries no user name or password"
    if not parts.hostname:
        return "a URL names a host"
    wanted = _PORT_OF[parts.scheme] if port is None else port
    if wanted == 0 or (wanted not in rules.ports and not rules.allow_private):
        return f"port {wanted} is not allowed, only {', '.join(map(str, sorted(rules.ports)))}"
    return None


def _problem_with_host(written: str, rules: TargetRules) -> str | None:
    host = unicodedata.normalize("NFKC", written)  # what a resolver would make of full-width digits and the like
    if _is_address(host):
        why = refusal(host, allow_private=rules.allow_private, also_denied=rules.denied)
        return f"{host} is {why}" if why else None
    name = _ascii(host)
    if name is None:
        return f"{written[:100]!r} is not a host name"
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return f"{written[:100]!r} ends in a number and is no complete address"
    return _problem_with_name(name, labels, rules)


def _problem_with_name(name: str, labels: list[str], rules: TargetRules) -> str | None:
    if name in rules.own_hosts:
        return f"{name} is the grid itself"
    if rules.allow_private:
        return None
    if len(labels) < 2:
        return f"{name!r} is no complete host name"
    return f"names under .{labels[-1]} are not public" if labels[-1] in _INTERNAL else None


def _is_address(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _ascii(host: str) -> str | None:
    """Return the name as it is looked up (RFC 3490), or None if it is none. A dot at its end is refused."""
    try:
        name = host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return None
    is_name = len(name) <= 253 and all(_LABEL.fullmatch(label) for label in name.split("."))
    return name if is_name else None
