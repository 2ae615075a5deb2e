"""What the fault tests share: a grid of one's own with one scheduler and one gateway, and no worker yet."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from chaos.scene import Scene, open_scene
from gridloom_testing.grid import Grid


@pytest.fixture
async def scene(own_grid: Grid) -> AsyncIterator[Scene]:
    """A grid with one scheduler and one gateway; workers are hired by the test."""
    async with open_scene(own_grid) as scene:
        yield scene
