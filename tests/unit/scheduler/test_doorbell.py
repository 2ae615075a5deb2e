"""The doorbell: what is news of workers, here and from other replicas."""

from __future__ import annotations

import pytest

from gridloom_contract.fleet import Wake
from gridloom_kit.clock import SystemClock
from gridloom_scheduler.doorbell import Doorbell
from gridloom_scheduler.fleet import Fleet, Terms
from gridloom_scheduler.rules.routes import exact_route, worker_route
from gridloom_testing.builders import a_worker_id


class Ear:
    """Counts news."""

    def __init__(self) -> None:
        self.heard = 0

    def __call__(self) -> None:
        """Hear some."""
        self.heard += 1


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def doorbell(ear: Ear) -> Doorbell:
    return Doorbell(Fleet(SystemClock(), Terms(1.0, 5.0, 1.0)), ear)


@pytest.mark.parametrize(
    ("routes", "heard"),
    [((), 0), ((exact_route("m"),), 0), ((worker_route("w1"),), 1), ((exact_route("m"), worker_route("w1")), 1)],
)
async def test_another_replica_tells_of_its_workers_beside_what_waits(
    doorbell: Doorbell, ear: Ear, routes: tuple[str, ...], heard: int
) -> None:
    await doorbell.hear(Wake(routes=routes))
    assert ear.heard == heard


def test_a_worker_that_comes_goes_or_is_decided_about_is_news_here(doorbell: Doorbell, ear: Ear) -> None:
    doorbell.welcome(a_worker_id(), [exact_route("m")])
    doorbell.tell_of(a_worker_id())
    doorbell.look_again(a_worker_id())
    assert ear.heard == 3
