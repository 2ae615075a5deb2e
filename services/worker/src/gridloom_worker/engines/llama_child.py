"""The child process of the llamacpp engine: llama.cpp's own HTTP server on one GGUF file, on a free loopback port.

Reads its orders as one JSON line from standard input, answers with the address as one line on standard output, and
ends when standard input does: however the worker dies, its end of the pipe dies with it.
"""

from __future__ import annotations

import os
import sys
import threading

import msgspec
import xllamacpp

from gridloom_worker.engines.llama_orders import LlamaOrders

_WARNINGS = 2
"""llama.cpp's verbosity for warnings and errors only."""
_PROMPT_CACHE_MIB = 512


def main() -> None:
    """Serve until standard input ends."""
    orders = msgspec.json.decode(sys.stdin.buffer.readline(), type=LlamaOrders)
    parent_watch = threading.Thread(target=_end_with_parent)
    parent_watch.start()
    try:
        server = xllamacpp.Server(_params(orders))  # serves in threads of its own while it is referenced
    except Exception as error:  # noqa: BLE001 - the last words of this process, read by the worker
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        os._exit(1)
    _fall_silent()
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    parent_watch.join()


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def _fall_silent() -> None:
    """From here on a warning of llama.cpp could quote a prompt: nobody hears it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stderr.fileno())
    os.close(nowhere)


def _params(orders: LlamaOrders) -> xllamacpp.CommonParams:
    params = xllamacpp.CommonParams()
    params.model.path = orders.path
    params.model_alias = {orders.alias}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [orders.api_key]
    params.cors_origins = ""
    params.ui = False
    params.verbosity = _WARNINGS
    params.n_parallel = orders.slots
    params.n_ctx = orders.context_tokens * orders.slots
    params.cache_ram_mib = _PROMPT_CACHE_MIB
    if orders.embeds:
        params.embedding = True
        params.n_batch = params.n_ubatch = orders.context_tokens  # a text must fit, for all of it is read at once
    if orders.answer_tokens:
        params.n_predict = orders.answer_tokens
    if orders.threads:
        params.cpuparams.n_threads = orders.threads
    return params


if __name__ == "__main__":
    main()
