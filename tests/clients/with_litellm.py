"""LiteLLM, unmodified (API.md §5, call 63): provider `openai/` and `api_base`. Prints what came back as JSON.

.venv-frameworks/bin/python tests/clients/with_litellm.py URL KEY
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

import litellm
import openai
from pydantic import BaseModel

URL, KEY = sys.argv[1:3]
WHERE: Any = {"api_base": URL, "api_key": KEY, "max_retries": 0}
HELLO: Any = [{"role": "user", "content": "Say hello. [[tokens=5]]"}]
HANG: Any = [{"role": "user", "content": "Say nothing. [[tokens=0]] [[hang]]"}]
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]


class Person(BaseModel):
    """What a structured answer is asked to be."""

    name: str
    age: int


def ask(messages: Any = HELLO, model: str = "synthetic", **further: Any) -> Any:
    return litellm.completion(model=f"openai/{model}", messages=messages, **(WHERE | further))


def chat() -> Any:
    return ask().model_dump()


def stream() -> Any:
    chunks = list(ask(stream=True, stream_options={"include_usage": True}))
    return litellm.stream_chunk_builder(chunks, messages=HELLO).model_dump() | {"chunks": len(chunks)}


def tools() -> Any:
    whole = ask(tools=TOOLS, tool_choice="required")
    streamed = litellm.stream_chunk_builder(list(ask(tools=TOOLS, tool_choice="required", stream=True)))
    return [answer.choices[0].message.tool_calls[0].model_dump() for answer in (whole, streamed)]


def parsed() -> Any:
    return Person.model_validate_json(ask(response_format=Person).choices[0].message.content).model_dump()


def completion() -> Any:
    return litellm.text_completion(model="openai/synthetic", prompt="Once [[tokens=4]]", **WHERE).choices[0].text


def responses() -> Any:
    return litellm.responses(model="openai/synthetic", input="Say hello. [[tokens=5]]", **WHERE).model_dump()


def embedding() -> Any:
    return litellm.embedding(model="openai/embedder", input=["loom", "grid"], **WHERE).model_dump()


def models() -> Any:
    return litellm.get_valid_models(
        check_provider_endpoint=True, custom_llm_provider="openai", api_key=KEY, api_base=URL.removesuffix("/v1")
    )


def errors() -> Any:
    def refused(**call: Any) -> Any:
        try:
            ask(**call)
        except openai.APIStatusError as error:
            return {"class": type(error).__name__, "status": error.status_code, "message": str(error)}
        return None

    return {
        "unknown_model": refused(model="nobody"),
        "wrong_key": refused(api_key="wrong"),
        "broken_engine": refused(messages=[{"role": "user", "content": "[[fail]]"}]),
    }


def patience() -> Any:
    try:
        ask(HANG, model="lonely", timeout=0.5)
    except litellm.Timeout as error:
        return {"class": type(error).__name__, "then": ask(model="lonely").choices[0].message.content}
    return None


def asynchronous() -> Any:
    async def talk() -> list[str]:
        call: Any = {"model": "openai/synthetic", "messages": HELLO, **WHERE}
        answers = await asyncio.gather(*(litellm.acompletion(**call) for _ in range(4)))
        return [answer.choices[0].message.content for answer in answers]

    return asyncio.run(talk())


CALLS: tuple[Callable[[], Any], ...] = (
    *(chat, stream, tools, parsed, completion, responses, embedding, models, errors, patience, asynchronous),
)

if __name__ == "__main__":
    litellm.suppress_debug_info = True
    print(json.dumps({call.__name__: call() for call in CALLS}, default=str))
