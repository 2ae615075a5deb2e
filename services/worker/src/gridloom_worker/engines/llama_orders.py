"""What the llamacpp engine tells its child process."""

from __future__ import annotations

import msgspec


class LlamaOrders(msgspec.Struct, frozen=True, kw_only=True):
    """What to serve; `api_key` keeps other local users out.

    A model that `embeds` does nothing else. Each of the `slots` gets `context_tokens`. An answer to a job that names no
    maximum ends after `answer_tokens`, or with 0 when its context is full.
    """

    path: str
    alias: str
    slots: int
    context_tokens: int
    threads: int
    answer_tokens: int = 0
    embeds: bool = False
    api_key: str
