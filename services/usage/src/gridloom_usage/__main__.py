"""`python -m gridloom_usage`: usage accounting as a process."""

from __future__ import annotations

from gridloom_kit.run import run
from gridloom_usage.service import build
from gridloom_usage.settings import Settings

if __name__ == "__main__":
    run(build, Settings, "usage")
