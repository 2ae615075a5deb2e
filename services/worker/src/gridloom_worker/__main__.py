"""Where `gridloom-worker` and `python -m gridloom_worker` begin."""

from __future__ import annotations

import os

from gridloom_worker.cli import command


def main() -> None:
    """Run the command in this process's environment."""
    command(obj=os.environ)


if __name__ == "__main__":
    main()
