"""Routes: the queues of the grid. A job waits on exactly one; a worker takes from those its offers name."""

from __future__ import annotations

from collections.abc import Iterable

from gridloom_contract.vocabulary import Match
from gridloom_contract.work import Offer

_EXACT, _FAMILY, _WORKER = "m:", "f:", "w:"


def exact_route(model: str) -> str:
    """The route of jobs for this very model."""
    return _EXACT + model


def family_route(family: str) -> str:
    """The route of jobs for any model of a family."""
    return _FAMILY + family


def worker_route(worker: str) -> str:
    """The route of jobs pinned to one worker. Waking it also means: look at this worker's jobs again."""
    return _WORKER + worker


def route_of(match: Match, model: str, family: str, node: str | None) -> str:
    """Return where a job waits."""
    if node is not None:
        return worker_route(node)
    return family_route(family) if match is Match.FAMILY else exact_route(model)


def routes_of(worker: str, offers: Iterable[Offer]) -> frozenset[str]:
    """Return the routes a worker can take from."""
    offered = list(offers)
    routes = {exact_route(offer.model) for offer in offered} | {family_route(offer.family) for offer in offered}
    return frozenset(routes | {worker_route(worker)})


def worker_in(route: str) -> str | None:
    """Return the worker a route is pinned to, if it is."""
    return route.removeprefix(_WORKER) if route.startswith(_WORKER) else None


def model_in(route: str) -> str:
    """Return the model or family that a route names; the worker, for a pinned one."""
    return route[len(_EXACT) :]


def rivals_of(route: str, family: str) -> tuple[str, ...]:
    """Return the routes whose jobs stand in one line with those of `route`: the exact ones also meet their family's."""
    return (route,) if route.startswith((_FAMILY, _WORKER)) else (route, family_route(family))
