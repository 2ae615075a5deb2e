"""Host names of their own: which API an operator serves under which name, and how a request's name is known.

`api.example.org=infernet` serves that API where its vendor does, below `/api/v1`, and at the root;
`grid.example.org/api/v1=infernet` at this one place, before whatever else is served there. All that is served without a
name is served under each, too, but for what these rows say.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from aiohttp.web_urldispatcher import AbstractRuleMatching, MatchedSubAppResource

from gridloom_gateway.route import Dialect
from gridloom_kit.settings import SettingsError

_ROW = re.compile(
    r"(?P<host>[a-z0-9]([a-z0-9.-]*[a-z0-9])?)(?P<prefix>(/[A-Za-z0-9._~-]+)*/?)=(?P<dialect>\w+)", re.ASCII
)
_ANY: Final = ""

HostOf = Callable[[web.Request], str]
Mounts = tuple[tuple[str, Dialect], ...]


@dataclass(frozen=True)
class Site:
    """What is served under a host name before all else: pairs of a path and a dialect."""

    host: str
    mounts: Mounts


def sites_of(rows: Sequence[str], served: Sequence[Dialect]) -> tuple[Site, ...]:
    """Return what the rows of the setting say. Raises `SettingsError` with all that is wrong with them."""
    dialects = {dialect.name: dialect for dialect in served if dialect.own_mounts}
    found: dict[str, dict[str, Dialect]] = defaultdict(dict)
    problems = []
    for text in rows:
        row = _ROW.fullmatch(text.strip())
        dialect = dialects.get(row["dialect"]) if row else None
        if row is None or dialect is None:
            known = ", ".join(sorted(dialects))
            problems.append(f"MOUNTS: {text!r} is not `host=dialect` or `host/path=dialect`; dialects are {known}")
            continue
        prefixes = (row["prefix"].rstrip("/"),) if row["prefix"] else dialect.own_mounts
        found[row["host"]] |= dict.fromkeys(prefixes, dialect)
    if problems:
        raise SettingsError(problems)
    return tuple(Site(host, tuple(mounts.items())) for host, mounts in found.items())


def add_site(app: web.Application, site: web.Application, host: str, host_of: HostOf) -> None:
    """Have requests for this host, for any with an empty one, handled by `site`; who was added first is asked first."""
    app.router.register_resource(MatchedSubAppResource(_Name(host, host_of), site))
    site.pre_freeze()


class _Name(AbstractRuleMatching):
    """Matches requests by the host that they name, whatever the port."""

    def __init__(self, host: str, host_of: HostOf) -> None:
        self._host = host
        self._host_of = host_of

    async def match(self, request: web.Request) -> bool:
        """Say whether the request is for this host."""
        return self._host == _ANY or self._host_of(request) == self._host

    def get_info(self) -> dict[str, str]:  # type: ignore[override]
        """Return the host."""
        return {"domain": self._host}

    @property
    def canonical(self) -> str:
        """The host."""
        return self._host
