"""`python -m gridloom_gateway`: the gateway, configured by `GRIDLOOM_GATEWAY_…`."""

from __future__ import annotations

from gridloom_contract.registry import GATEWAY
from gridloom_gateway.service import build
from gridloom_gateway.settings import Settings
from gridloom_kit.run import run

if __name__ == "__main__":
    run(build, Settings, GATEWAY)
