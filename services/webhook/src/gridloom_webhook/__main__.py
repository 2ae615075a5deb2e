"""`python -m gridloom_webhook`: the webhook service as a process."""

from __future__ import annotations

from gridloom_kit.run import run
from gridloom_webhook.service import build
from gridloom_webhook.settings import Settings

if __name__ == "__main__":
    run(build, Settings, "webhook")
