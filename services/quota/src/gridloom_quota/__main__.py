"""`python -m gridloom_quota`: the quota service as a process."""

from __future__ import annotations

from gridloom_kit.run import run
from gridloom_quota.service import build
from gridloom_quota.settings import Settings

if __name__ == "__main__":
    run(build, Settings, "quota")
