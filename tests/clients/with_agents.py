"""openai-agents, unmodified but for its client: over /responses, its default, and over chat. Prints JSON.

.venv-frameworks/bin/python tests/clients/with_agents.py URL KEY
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import agents
import openai
from agents import Agent, ModelSettings, Runner, function_tool
from openai import AsyncOpenAI
from pydantic import BaseModel

URL, KEY = sys.argv[1:3]
HELLO = "Say hello. [[tokens=5]]"


class Person(BaseModel):
    """What a structured answer is parsed into."""

    name: str
    age: int


@function_tool
def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny in {city}"


async def chat() -> Any:
    result = await Runner.run(Agent("teller", instructions="Be brief.", model="synthetic"), HELLO)
    usage = result.context_wrapper.usage
    return {"text": result.final_output, "usage": [usage.input_tokens, usage.output_tokens]}


async def stream() -> Any:
    result = Runner.run_streamed(Agent("teller", model="synthetic"), HELLO)
    raw = [event.data async for event in result.stream_events() if event.type == "raw_response_event"]
    said = [event.delta for event in raw if event.type == "response.output_text.delta"]
    return {"kinds": list(dict.fromkeys(event.type for event in raw)), "said": said, "text": result.final_output}


async def tools() -> Any:
    agent = Agent("asker", model="synthetic", tools=[weather])
    result = await Runner.run(agent, "And the weather? [[tool]] [[tokens=3]]")
    return {"items": [item.type for item in result.new_items], "text": result.final_output}


async def tools_streamed() -> Any:
    agent = Agent("asker", model="synthetic", tools=[weather])
    result = Runner.run_streamed(agent, "And the weather? [[tool]] [[tokens=3]]")
    async for _ in result.stream_events():
        pass
    return {"items": [item.type for item in result.new_items], "text": result.final_output}


async def parsed() -> Any:
    result = await Runner.run(Agent("finder", model="synthetic", output_type=Person), "Who?")
    return result.final_output.model_dump()


async def handoff() -> Any:
    other = Agent("other", model="synthetic", instructions="Answer.")
    settings = ModelSettings(tool_choice="required")
    first = Agent("first", model="synthetic", handoffs=[other], model_settings=settings)
    result = await Runner.run(first, HELLO)
    return {"last": result.last_agent.name, "text": result.final_output}


async def errors() -> Any:
    async def refused(model: str) -> Any:
        try:
            await Runner.run(Agent("lost", model=model), HELLO)
        except openai.APIStatusError as error:
            return {"class": type(error).__name__, "message": error.message}
        return None

    told = {"unknown_model": await refused("nobody")}
    agents.set_default_openai_client(AsyncOpenAI(base_url=URL, api_key="wrong"), use_for_tracing=False)
    return told | {"wrong_key": await refused("synthetic")}


CALLS: tuple[Callable[[], Awaitable[Any]], ...] = (chat, stream, tools, tools_streamed, parsed, handoff, errors)


async def all_over(api: Any) -> Any:
    """Make every call over one of the two APIs that it knows."""
    agents.set_default_openai_api(api)
    agents.set_default_openai_client(AsyncOpenAI(base_url=URL, api_key=KEY), use_for_tracing=False)
    return {call.__name__: await call() for call in CALLS}


if __name__ == "__main__":
    agents.set_tracing_disabled(True)
    print(json.dumps({api: asyncio.run(all_over(api)) for api in ("responses", "chat_completions")}, default=str))
