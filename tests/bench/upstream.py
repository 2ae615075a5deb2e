"""A model that costs nothing: an OpenAI-compatible server whose tokens say when they were sent.

Run as `python -m tests.bench.upstream PORT`. The prompt is the order: `COUNT GAP_MILLISECONDS`.
"""

from __future__ import annotations

import asyncio
import sys
import time

import msgspec
import uvloop
from aiohttp import web

MODEL = "bench:noop"


async def models(_request: web.Request) -> web.Response:
    """List the one model."""
    return web.json_response({"object": "list", "data": [{"id": MODEL, "object": "model"}]})


async def chat(request: web.Request) -> web.StreamResponse:
    """Stream stamps as tokens."""
    asked = msgspec.json.decode(await request.read())
    count_text, gap_text = asked["messages"][-1]["content"].split()
    count, gap = int(count_text), float(gap_text) / 1000
    if not asked.get("stream"):
        return await _whole(count, gap)
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await answer.prepare(request)
    for _ in range(count):
        await answer.write(_chunk({"content": f"{time.time():.6f} "}))
        if gap:
            await asyncio.sleep(gap)
    usage = {"prompt_tokens": 1, "completion_tokens": count, "total_tokens": count + 1}
    await answer.write(
        _chunk({}, "stop") + b'data: {"id":"c","choices":[],"usage":' + msgspec.json.encode(usage) + b"}\n\n"
    )
    await answer.write(b"data: [DONE]\n\n")
    return answer


async def _whole(count: int, gap: float) -> web.Response:
    """The same in one piece."""
    await asyncio.sleep(count * gap)
    text = "".join(f"{time.time():.6f} " for _ in range(count))
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": count, "total_tokens": count + 1}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [choice], "usage": usage}
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")


def _chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    frame = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [choice]}
    return b"data: " + msgspec.json.encode(frame) + b"\n\n"


async def plain(request: web.Request) -> web.Response:
    """Read a body, answer a body: the least an aiohttp server can do."""
    await request.read()
    return web.Response(body=b'{"status":"ok"}', content_type="application/json", status=201)


def main() -> None:
    """Serve until the process is ended."""
    uvloop.install()
    app = web.Application()
    app.add_routes(
        [web.get("/v1/models", models), web.post("/v1/chat/completions", chat), web.post("/plain", plain)],
    )
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)


if __name__ == "__main__":
    main()
