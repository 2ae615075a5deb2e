"""How the synthetic engine answers raw tasks: frames like an OpenAI engine's, and the body they fold into.

It calls a tool if the request makes it (`tool_choice` is `required` or names a function) or if it may and the prompt
says `[[tool]]`, until a tool has answered. With `response_format` it says JSON of that shape. All else is words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from zlib import crc32

import msgspec

from gridloom_contract.jobs import Task
from gridloom_contract.vocabulary import Kind
from gridloom_domain.completions import Folding, Json, line_of
from gridloom_worker.engines.engine import Emit
from gridloom_worker.engines.synthetic_values import example_of

_TOOL = "[[tool]]"
_LOGPROB = -0.125


class Frames:
    """Says things in frames, and remembers them."""

    def __init__(self, task: Task, emit: Emit) -> None:
        self._is_chat = task.kind is Kind.CHAT
        self._with_logprobs = bool((task.raw or {}).get("logprobs"))
        self._emit = emit
        self._folding = Folding()

    def begin(self) -> None:
        """Open the answer, as engines do in a chat."""
        if self._is_chat:
            self._choice({"delta": {"role": "assistant", "content": ""}})

    def say(self, token: str) -> None:
        """Say one token."""
        said: Json = {"delta": {"content": token}} if self._is_chat else {"text": token}
        self._choice(said | ({"logprobs": self._logprobs(token)} if self._with_logprobs else {}))

    def call(self, name: str, arguments: str) -> None:
        """Call a tool, as engines do: first its name, then what it is called with, in pieces."""
        begin = {"index": 0, "id": f"call_{crc32(arguments.encode(), crc32(name.encode())):08x}", "type": "function"}
        middle = len(arguments) // 2
        pieces: tuple[Json, ...] = (
            begin | {"function": {"name": name, "arguments": ""}},
            {"index": 0, "function": {"arguments": arguments[:middle]}},
            {"index": 0, "function": {"arguments": arguments[middle:]}},
        )
        for piece in pieces:
            self._choice({"delta": {"tool_calls": [piece]}})

    def end(self, finish_reason: str, tokens_in: int, tokens_out: int) -> str:
        """Close the answer and return its body."""
        self._choice({"delta": {}} if self._is_chat else {"text": ""}, finish_reason)
        usage = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}
        self._frame({"choices": [], "usage": usage})
        return msgspec.json.encode(self._folding.body()).decode()

    def _choice(self, said: Json, finish_reason: str | None = None) -> None:
        self._frame({"choices": [{"index": 0, **said, "finish_reason": finish_reason}]})

    def _frame(self, frame: Json) -> None:
        self._emit(line_of(frame))
        self._folding.take(frame)

    def _logprobs(self, token: str) -> Json:
        if not self._is_chat:
            return {"tokens": [token], "token_logprobs": [_LOGPROB], "top_logprobs": [{token: _LOGPROB}]}
        said = {"token": token, "logprob": _LOGPROB, "bytes": list(token.encode())}
        return {"content": [{**said, "top_logprobs": [said]}]}


def script_of(task: Task, prompt: str) -> Callable[[Frames], str] | None:
    """Return what says the answer and returns why it ended, if that is not words."""
    raw = task.raw or {}
    function = _tool_to_call(raw, prompt)
    if function is not None:
        arguments = msgspec.json.encode(example_of(function.get("parameters") or {"type": "object"})).decode()
        return lambda frames: _call(frames, str(function.get("name")), arguments)
    wish = raw.get("response_format")
    if isinstance(wish, dict) and wish.get("type") in ("json_object", "json_schema"):
        holder = wish.get("json_schema")
        schema = holder.get("schema") if isinstance(holder, dict) else None
        text = msgspec.json.encode(example_of(schema or {"properties": {"answer": {"type": "string"}}})).decode()
        return lambda frames: _say(frames, text)
    return None


def messages_of(task: Task) -> list[Json]:
    """Return the messages of a chat, however it was asked."""
    told = (task.raw or {}).get("messages") if task.raw is not None else task.messages
    return [message for message in told or () if isinstance(message, dict)]


def _call(frames: Frames, name: str, arguments: str) -> str:
    frames.call(name, arguments)
    return "tool_calls"


def _say(frames: Frames, text: str) -> str:
    for start in range(0, len(text), 8):
        frames.say(text[start : start + 8])
    return "stop"


def _tool_to_call(raw: Json, prompt: str) -> Json | None:
    functions = list(_functions(raw.get("tools")))
    choice = raw.get("tool_choice", "auto")
    messages = raw.get("messages") or [{}]
    has_answer = isinstance(messages[-1], dict) and messages[-1].get("role") == "tool"
    if not functions or has_answer or choice == "none":
        return None
    if isinstance(choice, dict):
        wanted = (choice.get("function") or choice).get("name")
        return next((one for one in functions if one.get("name") == wanted), functions[0])
    return functions[0] if choice == "required" or _TOOL in prompt else None


def _functions(tools: Any) -> Iterator[Json]:
    for tool in tools if isinstance(tools, list) else ():
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict):
            yield function
