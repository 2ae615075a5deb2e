"""`python -m gridloom_worker` is `gridloom-worker`."""

from __future__ import annotations

from .cli import main

main()
