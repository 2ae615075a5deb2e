"""langchain-openai, unmodified but for its base URL (API.md §5, call 62). Prints what came back as JSON.

.venv-frameworks/bin/python tests/clients/with_langchain.py URL KEY
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

import openai
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings
from pydantic import BaseModel

URL, KEY = sys.argv[1:3]
HELLO = "Say hello. [[tokens=5]]"


class Person(BaseModel):
    """What a structured answer is parsed into."""

    name: str
    age: int


@tool
def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny in {city}"


def chatting(**further: Any) -> ChatOpenAI:
    return ChatOpenAI(**({"model": "synthetic", "base_url": URL, "api_key": KEY, "max_retries": 0} | further))


def invoke() -> Any:
    answer = chatting(max_tokens=3).invoke([SystemMessage("Be brief."), HumanMessage(HELLO)])
    return {"text": answer.content, "usage": answer.usage_metadata, "told": answer.response_metadata}


def stream() -> Any:
    chunks = list(chatting(stream_usage=True).stream(HELLO))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk  # type: ignore[assignment]
    return {"text": whole.content, "usage": whole.usage_metadata, "chunks": len(chunks)}


def tools() -> Any:
    model = chatting().bind_tools([weather])
    question = HumanMessage("And the weather? [[tool]] [[tokens=3]]")
    asked = model.invoke([question])
    answers = [ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"]) for call in asked.tool_calls]
    return {"calls": asked.tool_calls, "then": model.invoke([question, asked, *answers]).content}


def parsed() -> Any:
    ways = ("json_schema", "function_calling")
    found: Any = {way: chatting().with_structured_output(Person, method=way).invoke("Who?") for way in ways}
    return {way: person.model_dump() for way, person in found.items()}


def batch() -> Any:
    return [answer.content for answer in chatting().batch([HELLO] * 4)]


def asynchronous() -> Any:
    async def talk() -> str:
        return "".join([str(chunk.content) async for chunk in chatting().astream(HELLO)])

    return asyncio.run(talk())


def responses() -> Any:
    answer = chatting(use_responses_api=True).invoke(HELLO)
    return {"text": answer.text, "usage": answer.usage_metadata}


def responses_streamed() -> Any:
    return "".join(chunk.text for chunk in chatting(use_responses_api=True).stream(HELLO))


def completion() -> Any:
    return OpenAI(model="synthetic", base_url=URL, api_key=KEY).invoke("Once [[tokens=4]]")


def embeddings() -> Any:
    # Its check would count with OpenAI's own tokenizer and send numbers instead of words.
    model = OpenAIEmbeddings(model="embedder", base_url=URL, api_key=KEY, check_embedding_ctx_length=False)
    return {"documents": model.embed_documents(["loom", "grid"]), "query": model.embed_query("loom")}


def errors() -> Any:
    def refused(**model: Any) -> Any:
        try:
            chatting(**model).invoke(HELLO)
        except openai.APIStatusError as error:
            return {"class": type(error).__name__, "status": error.status_code, "message": error.message}
        return None

    return {"unknown_model": refused(model="nobody"), "wrong_key": refused(api_key="wrong")}


def patience() -> Any:
    try:
        chatting(model="lonely", timeout=0.5).invoke("Say nothing. [[tokens=0]] [[hang]]")
    except openai.APITimeoutError as error:
        return {"class": type(error).__name__, "then": chatting(model="lonely").invoke(HELLO).content}
    return None


CALLS: tuple[Callable[[], Any], ...] = (
    *(invoke, stream, tools, parsed, batch, asynchronous, responses, responses_streamed, completion, embeddings),
    *(errors, patience),
)

if __name__ == "__main__":
    print(json.dumps({call.__name__: call() for call in CALLS}, default=str))
