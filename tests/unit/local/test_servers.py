"""Free ports: found where nobody else of the same run looks."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gridloom_local.servers import free_port

FIND = "from gridloom_local.servers import free_port, take_ports_from_share as share; share({}, 4); print(free_port())"


@pytest.mark.parametrize("number", range(4))
def test_each_share_has_ports_of_its_own(number: int) -> None:
    found = subprocess.run([sys.executable, "-c", FIND.format(number)], capture_output=True, text=True, check=True)
    assert int(found.stdout) in range(20_000 + number * 3_192, 20_000 + (number + 1) * 3_192)


def test_no_port_is_found_twice_before_all_others_were() -> None:
    found = [free_port() for _ in range(300)]
    assert len(set(found)) == len(found)
