"""`gridloom demo`: one prompt through a whole grid of its own; its story, its price and its webhook told."""

from __future__ import annotations

import time
from pathlib import Path

from gridloom_contract.registry import GATEWAY, USAGE, WEBHOOK, WORKER
from gridloom_kit.finish import finish
from gridloom_kit.settings import environment_name
from gridloom_local.charging import tell_usage
from gridloom_local.client import Client, open_client
from gridloom_local.facts import Facts
from gridloom_local.home import Home
from gridloom_local.ports import is_free
from gridloom_local.postscript import tell_webhook
from gridloom_local.problems import blaming
from gridloom_local.receiver import open_receiver
from gridloom_local.servers import free_port
from gridloom_local.stack import Stack
from gridloom_local.story import print_story
from gridloom_local.voice import Voice
from gridloom_local.watching import follow_job, require_success

PROMPT = "In two sentences: why do many small computers together make a big one?"

_TIMEOUT_SECONDS = 60
_TAG = "demo"
_OWN_RECEIVER = {environment_name(WEBHOOK, "allow_private"): "true"}
"""The demo's webhook goes to this machine, which a grid for others never calls."""


def demo_home(home: Home) -> Home:
    """Return the demo's own home inside `home`, so that it never touches a stack that runs there."""
    return Home(home.folder / "demo")


async def show(home: Home, port: int, engine: str, prompt: str, voice: Voice) -> None:
    """Run the demo in `home`, on `port` if that is free. Raises Problem. Leaves nothing running, whatever happens."""
    began = time.monotonic()
    if not is_free(port):
        wanted, port = port, free_port()
        voice.say(f"port {wanted} is taken, so the gateway takes {port}")
    voice.say(f"starting NATS, MongoDB, S3, six services and a worker in {_short(home.folder)}")
    stack = Stack(home, voice.say, _OWN_RECEIVER)
    facts = await stack.up(port, engine)
    try:
        await _one_job(facts, home, prompt, voice)
    finally:
        voice.say("stopping everything")
        await finish(stack.down())
    voice.say(f"done in {time.monotonic() - began:.1f} s; every process wrote a log in {_short(home.logs)}")


async def _one_job(facts: Facts, home: Home, prompt: str, voice: Voice) -> None:
    async with open_client(facts.url, facts.api_key) as client, open_receiver() as receiver:
        voice.say(f"\nPOST {facts.url}/api/v1/jobs  model {facts.model}\n> {prompt}\n")
        question = {"model": facts.model, "prompt": prompt, "timeout_seconds": _TIMEOUT_SECONDS}
        question |= {"webhook_url": receiver.url, "tag": _TAG}
        with blaming(home.log_of(GATEWAY)):
            accepted = await client.call("POST", "/api/v1/jobs", question)
            job = await follow_job(client, accepted["job_id"], voice)
        voice.say("\n")
        with blaming(home.log_of(WORKER)):
            require_success(job)
        with blaming(home.log_of(GATEWAY)):
            await _tell_story(client, accepted["job_id"])
        with blaming(home.log_of(USAGE)):
            await tell_usage(client, accepted["job_id"])
        with blaming(home.log_of(WEBHOOK)):
            await tell_webhook(client, receiver, accepted["job_id"], facts.api_key)


async def _tell_story(client: Client, job: str) -> None:
    timeline = await client.call("GET", f"/api/v1/jobs/{job}/timeline")
    print_story(timeline["events"])


def _short(path: Path) -> str:
    """Return the path as seen from here, if it lies below."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
