"""What the tests over HTTP share: a client of a new account, a second gateway, and a worker that can be held still."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from e2e.shelf import Shelf, open_shelf
from gridloom_contract.registry import GATEWAY
from gridloom_local.servers import LOOPBACK, free_port
from gridloom_testing.clients import ApiClient
from gridloom_testing.grid import Grid

SLOW = "[[tokens=60]] [[rate=40]]"
"""A prompt whose answer takes a second and a half, word by word."""


@pytest.fixture
async def client(grid: Grid) -> AsyncIterator[ApiClient]:
    """A client of a new account."""
    async with grid.client() as client:
        yield client


@pytest.fixture(scope="module")
def second_url(grid: Grid) -> str:
    """The base URL of a second gateway of the same grid."""
    port = free_port()
    grid.start(GATEWAY, port=port)
    grid.wait_until_ready()
    return f"http://{LOOPBACK}:{port}"


@pytest.fixture
async def beside(client: ApiClient, second_url: str) -> AsyncIterator[ApiClient]:
    """The same account at the second gateway."""
    async with ApiClient(second_url, client.key) as beside:
        yield beside


@pytest.fixture(scope="module")
def one_shelf(grid: Grid) -> Shelf:
    """A worker with one slot and a model of its own, for the tests of a module."""
    return open_shelf(grid)


@pytest.fixture
def shelf(one_shelf: Shelf) -> Iterator[Shelf]:
    """The same, drained: what is submitted for its model waits until the test says `resume`."""
    one_shelf.drain()
    yield one_shelf
    one_shelf.resume()
