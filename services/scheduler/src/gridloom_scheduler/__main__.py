"""`python -m gridloom_scheduler`: the scheduler as a process."""

from __future__ import annotations

from gridloom_kit.run import run
from gridloom_scheduler.service import build
from gridloom_scheduler.settings import Settings

if __name__ == "__main__":
    run(build, Settings, "scheduler")
