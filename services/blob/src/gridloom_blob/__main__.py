"""`python -m gridloom_blob`: the blob service as a process."""

from __future__ import annotations

from gridloom_blob.service import build
from gridloom_blob.settings import Settings
from gridloom_kit.run import run

if __name__ == "__main__":
    run(build, Settings, "blob")
