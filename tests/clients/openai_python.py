"""Every call of API.md §5 that openai-python makes, unmodified but for its base URL. Prints what came back as JSON.

.venv-clients/bin/python tests/clients/openai_python.py URL KEY
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import openai
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

URL, KEY = sys.argv[1:3]
HELLO: Any = [{"role": "user", "content": "Say hello. [[tokens=5]]"}]
SLOW: Any = [{"role": "user", "content": "Say hello slowly. [[tokens=6]] [[rate=20]]"}]
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]

client = OpenAI(base_url=URL, api_key=KEY)


class Person(BaseModel):
    """What a structured answer is parsed into."""

    name: str
    age: int


def models() -> Any:
    return {
        "listed": [model.id for model in client.models.list()],
        "retrieved": client.models.retrieve("acme/loom-1").model_dump(),
    }


def chat() -> Any:
    raw = client.chat.completions.with_raw_response.create(model="synthetic", messages=HELLO)
    answer = raw.parse()
    return {"answer": answer.model_dump(), "request_id": answer._request_id, "job": raw.headers["x-gridloom-job"]}


def stream() -> Any:
    chunks = list(client.chat.completions.create(model="synthetic", messages=SLOW, stream=True))
    return [chunk.model_dump() for chunk in chunks]


def include_usage() -> Any:
    options: Any = {"include_usage": True}
    chunks = client.chat.completions.create(model="synthetic", messages=HELLO, stream=True, stream_options=options)
    return [chunk.model_dump() for chunk in chunks]


def stream_helper() -> Any:
    with client.chat.completions.stream(model="synthetic", messages=SLOW, tools=TOOLS) as events:
        kinds = [event.type for event in events]
        return {"kinds": kinds, "final": events.get_final_completion().model_dump()}


def tools() -> Any:
    call = {"model": "synthetic", "messages": HELLO, "tools": TOOLS, "tool_choice": "required"}
    with client.chat.completions.stream(**call) as events:
        streamed = events.get_final_completion().model_dump()
    return {"whole": client.chat.completions.create(**call).model_dump(), "streamed": streamed}


def parsed() -> Any:
    answer = client.chat.completions.parse(model="synthetic", messages=HELLO, response_format=Person)
    found = answer.choices[0].message.parsed
    return found.model_dump() if found else None


def logprobs() -> Any:
    answer = client.chat.completions.create(model="synthetic", messages=HELLO, logprobs=True, top_logprobs=1)
    return answer.choices[0].model_dump()


def limits() -> Any:
    answer = client.chat.completions.create(
        model="synthetic", messages=HELLO, max_completion_tokens=2, extra_body={"nobody_knows": {"this": [1, None]}}
    )
    return answer.choices[0].model_dump()


def completions() -> Any:
    whole = client.completions.create(model="synthetic", prompt="Once [[tokens=4]]")
    streamed = list(client.completions.create(model="synthetic", prompt="Once [[tokens=4]]", stream=True))
    return {"whole": whole.model_dump(), "streamed": [chunk.model_dump() for chunk in streamed]}


def embeddings() -> Any:
    silent = client.embeddings.create(model="embedder", input=["loom", "grid"])
    numbers = client.embeddings.create(model="embedder", input=["loom", "grid"], encoding_format="float")
    return {"silent": silent.model_dump(), "float": numbers.model_dump()}


def errors() -> Any:
    def refused(call: Callable[[], object]) -> Any:
        try:
            call()
        except openai.APIStatusError as error:
            told = {"type": error.type, "code": error.code, "param": error.param, "message": error.message}
            return {"class": type(error).__name__, "status": error.status_code, "request_id": error.request_id, **told}
        return None

    patient = OpenAI(base_url=URL, api_key=KEY, max_retries=0)
    stranger = OpenAI(base_url=URL, api_key="wrong", max_retries=0)
    broken: Any = [{"role": "user", "content": "[[fail]]"}]
    wrong: Any = [{"role": "user", "content": "[[reject]]"}]
    sound, picture = ("loom.wav", b"RIFF"), ("loom.png", b"PNG")
    return {
        "unknown_model": refused(lambda: client.chat.completions.create(model="nobody", messages=HELLO)),
        "wrong_key": refused(stranger.models.list),
        "no_messages": refused(lambda: client.chat.completions.create(model="synthetic", messages=[])),
        "refused_by_engine": refused(lambda: client.chat.completions.create(model="synthetic", messages=wrong)),
        "broken_engine": refused(lambda: patient.chat.completions.create(model="synthetic", messages=broken)),
        "images": refused(lambda: client.images.generate(model="synthetic", prompt="a loom")),
        "edit": refused(lambda: client.images.edit(model="synthetic", image=picture, prompt="a loom")),
        "speech": refused(lambda: client.audio.speech.create(model="synthetic", voice="alloy", input="Loom")),
        "transcription": refused(lambda: client.audio.transcriptions.create(model="synthetic", file=sound)),
        "no_such_model": refused(lambda: client.models.retrieve("no/such/model")),
    }


def error_in_stream() -> Any:
    broken: Any = [{"role": "user", "content": "[[tokens=4]] [[rate=20]] [[reject]]"}]
    said = ""
    try:
        for chunk in client.chat.completions.create(model="synthetic", messages=broken, stream=True):
            said += chunk.choices[0].delta.content or ""
    except openai.APIError as error:
        return {"said": said, "class": type(error).__name__, "type": error.type, "message": error.message}
    return {"said": said}


def asynchronous() -> Any:
    async def talk() -> Any:
        async with AsyncOpenAI(base_url=URL, api_key=KEY) as other:
            calls = [other.chat.completions.create(model="synthetic", messages=HELLO) for _ in range(8)]
            stream = await other.chat.completions.create(model="synthetic", messages=SLOW, stream=True)
            said = [chunk.choices[0].delta.content or "" async for chunk in stream]
            texts = [answer.choices[0].message.content for answer in await asyncio.gather(*calls)]
            return {"texts": texts, "said": "".join(said)}

    return asyncio.run(talk())


def later() -> Any:
    told: Any = client.chat.completions.create(model="synthetic", messages=HELLO, extra_body={"async": True})
    job = told.model_dump()["id"]
    deadline = time.monotonic() + 20
    while (document := client.get(f"/jobs/{job}", cast_to=dict))["status"] in ("QUEUED", "PROCESSING"):
        assert time.monotonic() < deadline, document
        time.sleep(0.05)
    return {"envelope": told.model_dump(), "document": document}


def responses() -> Any:
    schema: Any = {"type": "function", "strict": True, **TOOLS[0]["function"]}
    whole = client.responses.create(model="synthetic", input="Say hello. [[tokens=5]]", instructions="Be brief.")
    with client.responses.stream(model="synthetic", input="Say hello slowly. [[tokens=6]] [[rate=20]]") as events:
        kinds = [event.type for event in events]
        final = events.get_final_response()
    called = client.responses.create(model="synthetic", input="Weather?", tools=[schema], tool_choice="required")
    turn: Any = [
        {"role": "user", "content": [{"type": "input_text", "text": "Weather? [[tokens=3]]"}]},
        *[item.model_dump() for item in called.output],
        {"type": "function_call_output", "call_id": called.output[0].call_id, "output": "sunny"},
    ]
    with client.responses.stream(model="synthetic", input="Weather?", tools=[schema], tool_choice="required") as events:
        called_streamed = [event.type for event in events]
        final_call = events.get_final_response()
    typed = client.responses.parse(model="synthetic", input="Who?", text_format=Person)
    try:
        client.responses.create(model="synthetic", input="And then?", previous_response_id="resp_1")
        refused = None
    except openai.BadRequestError as error:
        refused = error.param
    return {
        "whole": whole.model_dump(),
        "text": whole.output_text,
        "kinds": kinds,
        "final": final.output_text,
        "usage": final.usage.model_dump() if final.usage else None,
        "called": called.output[0].model_dump(),
        "called_streamed": called_streamed,
        "final_call": final_call.output[0].model_dump(),
        "answered": client.responses.create(model="synthetic", input=turn, tools=[schema]).output_text,
        "parsed": typed.output_parsed.model_dump() if typed.output_parsed else None,
        "refused": refused,
    }


CALLS: tuple[Callable[[], Any], ...] = (
    *(models, chat, stream, include_usage, stream_helper, tools, parsed, logprobs, limits, completions, embeddings),
    *(errors, error_in_stream, asynchronous, later, responses),
)

if __name__ == "__main__":
    print(json.dumps({call.__name__: call() for call in CALLS}, default=str))
