"""Simon Willison's llm, unmodified: models of `extra-openai-models.yaml`. Prints what came back as JSON.

env LLM_USER_PATH=FOLDER .venv-frameworks/bin/python tests/clients/with_llm.py URL KEY
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llm
import openai
from pydantic import BaseModel

URL, KEY = sys.argv[1:3]
HELLO = "Say hello. [[tokens=5]]"


class Person(BaseModel):
    """What a structured answer is parsed into."""

    name: str
    age: int


def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny in {city}"


def configure() -> None:
    same = {"api_base": URL, "api_key_name": "grid", "supports_tools": True, "supports_schema": True}
    told = [{"model_id": f"grid-{name}", "model_name": name} | same for name in ("synthetic", "nobody")]
    # Its file is YAML, and JSON is YAML.
    (llm.user_dir() / "extra-openai-models.yaml").write_text(json.dumps(told))
    (llm.user_dir() / "keys.json").write_text(json.dumps({"grid": KEY}))


def chat() -> Any:
    response = llm.get_model("grid-synthetic").prompt(HELLO, stream=False)
    return {"text": response.text(), "usage": [response.usage().input, response.usage().output]}


def stream() -> Any:
    response = llm.get_model("grid-synthetic").prompt(HELLO)
    pieces = list(response)
    return {"pieces": pieces, "usage": [response.usage().input, response.usage().output]}


def tools() -> Any:
    model: Any = llm.get_model("grid-synthetic")
    chain = model.chain("And the weather? [[tool]] [[tokens=3]]", tools=[weather])
    found = list(chain.responses())
    return {"calls": [call.arguments for each in found for call in each.tool_calls()], "then": found[-1].text()}


def parsed() -> Any:
    response = llm.get_model("grid-synthetic").prompt("Who?", schema=Person)
    return Person.model_validate_json(response.text()).model_dump()


def command() -> Any:
    typed = [str(Path(sys.executable).parent / "llm"), "-m", "grid-synthetic", HELLO]
    return subprocess.run(typed, capture_output=True, text=True, timeout=60, check=True).stdout


def errors() -> Any:
    def refused(model: str, key: str | None = None) -> Any:
        try:
            llm.get_model(model).prompt(HELLO, key=key).text()
        except openai.APIStatusError as error:
            return {"class": type(error).__name__, "message": error.message}
        except llm.ModelError as error:
            return {"class": type(error.__cause__).__name__, "message": str(error)}
        return None

    return {"unknown_model": refused("grid-nobody"), "wrong_key": refused("grid-synthetic", "wrong")}


CALLS: tuple[Callable[[], Any], ...] = (chat, stream, tools, parsed, command, errors)

if __name__ == "__main__":
    configure()
    print(json.dumps({call.__name__: call() for call in CALLS}, default=str))
