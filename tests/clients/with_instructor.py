"""instructor, unmodified, over the official client. Prints what came back as JSON.

.venv-frameworks/bin/python tests/clients/with_instructor.py URL KEY REAL_MODEL
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, Literal

import instructor
import openai
from instructor.core import InstructorRetryException
from openai import OpenAI
from pydantic import BaseModel

URL, KEY, REAL_MODEL = sys.argv[1:4]
WHO: Any = [{"role": "user", "content": "Who is it?"}]


class Person(BaseModel):
    """What every answer is made into."""

    name: str
    age: int


class Child(BaseModel):
    """What a small model cannot fail to say, if it is held to the schema."""

    name: Literal["Ada", "Grace"]
    is_known: bool


def patched(mode: instructor.Mode, key: str = KEY) -> Any:
    return instructor.from_openai(OpenAI(base_url=URL, api_key=key, max_retries=0), mode=mode)


def modes() -> Any:
    wanted = (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA)
    ask: Any = {"model": "synthetic", "messages": WHO, "response_model": Person, "max_retries": 0}
    return {mode.name: patched(mode).create(**ask).model_dump() for mode in wanted}


def of_a_real_model() -> Any:
    told: Any = [{"role": "user", "content": "Ada is 36 years old. Who is it?"}]
    ask: Any = {"model": REAL_MODEL, "messages": told, "response_model": Child, "max_retries": 0, "temperature": 0}
    return patched(instructor.Mode.JSON_SCHEMA).create(**ask).model_dump()


def counted() -> Any:
    ask: Any = {"model": "synthetic", "messages": WHO, "response_model": Person}
    person, answer = patched(instructor.Mode.TOOLS).create_with_completion(**ask)
    return {"person": person.model_dump(), "usage": answer.usage.model_dump()}


def partial() -> Any:
    client = patched(instructor.Mode.TOOLS)
    steps = list(client.create_partial(model="synthetic", messages=WHO, response_model=Person))
    return [step.model_dump() for step in steps]


def errors() -> Any:
    def refused(model: str, key: str) -> Any:
        ask: Any = {"model": model, "messages": WHO, "response_model": Person, "max_retries": 0}
        try:
            patched(instructor.Mode.TOOLS, key).create(**ask)
        except (InstructorRetryException, openai.APIStatusError) as error:
            cause: Any = error if isinstance(error, openai.APIStatusError) else error.__cause__
            return {"class": type(cause).__name__, "message": str(error)}
        return None

    return {"unknown_model": refused("nobody", KEY), "wrong_key": refused("synthetic", "wrong")}


CALLS: tuple[Callable[[], Any], ...] = (modes, of_a_real_model, counted, partial, errors)

if __name__ == "__main__":
    print(json.dumps({call.__name__: call() for call in CALLS}, default=str))
