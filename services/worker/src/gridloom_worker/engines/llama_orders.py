"""What the llamacpp engine tells its child process."""

from __future__ import annotations

import msgspec


class LlamaOrders(msgspec.Struct, frozen=True, kw_only=True):
    """What to serve. `context_tokens` is what each of the `slots` gets; `api_key` keeps other local users out."""

    path: str
    alias: str
    slots: int
    context_tokens: int
    threads: int
    api_key: str
