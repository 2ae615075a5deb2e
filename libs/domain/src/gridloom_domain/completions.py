"""The answers to raw tasks: frames while they stream, the body they fold into, and the text in either. Pure.

A *frame* is what one chunk of a stream said, a *body* the whole answer as if it had never been streamed, both as
OpenAI spells them but for the fields that name the answer (`id`, `object`, `created`, `model`): whoever shows it names
it. Fields nobody here knows are kept. Workers are strangers, so any JSON object may come as a frame or a body.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from gridloom_contract.jobs import Job
from gridloom_domain.folding import joined, merged

Json = dict[str, Any]

_NAMES: Final = frozenset({"id", "object", "created", "model"})
_MOST_UNREAD_CHARACTERS: Final = 8 * 1024 * 1024


def frame_of(chunk: Json) -> Json:
    """Return what a chunk of a stream, or a whole answer, says but for its names."""
    return {name: value for name, value in chunk.items() if name not in _NAMES}


def line_of(frame: Json) -> str:
    """Return the frame as it goes into the token stream: compact JSON and a newline, which is in it nowhere else."""
    return f"{msgspec.json.encode(frame).decode()}\n"


class Frames:
    """Frames out of the text of a token stream, however that was cut. What is no frame is passed over."""

    def __init__(self) -> None:
        self._rest = ""

    def feed(self, text: str) -> list[Json]:
        """Return the frames that `text` completes."""
        *lines, self._rest = (self._rest + text).split("\n")
        if len(self._rest) > _MOST_UNREAD_CHARACTERS:
            self._rest = ""
        found = (_object_in(line) for line in lines)
        return [frame for frame in found if frame is not None]


class Folding:
    """Folds frames one by one, in time and space that grow with what they say."""

    def __init__(self) -> None:
        self._choices: dict[int, Any] = {}
        self._other: Json = {}

    def take(self, frame: Json) -> None:
        """Add a frame; a whole body is one, too."""
        for name, value in frame.items():
            if name == "choices":
                for choice in choices_of(frame):
                    self._take_choice(choice)
            elif value is not None or name not in self._other:
                self._other[name] = value

    def _take_choice(self, choice: Json) -> None:
        index = choice["index"] if isinstance(choice.get("index"), int) else 0
        known = self._choices.setdefault(index, {"index": index, "finish_reason": None})
        for name, value in choice.items():
            if name in ("delta", "message"):
                known["message"] = merged(known.get("message"), value, name, joins=True)
            elif name != "index":
                known[name] = merged(known.get(name), value, name, joins=name == "text")

    def body(self) -> Json:
        """Return the answer as the frames so far tell it."""
        choices = [_whole(self._choices[index]) for index in sorted(self._choices)]
        return {"choices": choices, **self._other}


def fold(frames: Iterable[Json]) -> Json:
    """Return the body that the frames make together."""
    folding = Folding()
    for frame in frames:
        folding.take(frame)
    return folding.body()


def unfold(body: Json, known_characters: int = 0) -> list[Json]:
    """Return frames that fold into this body: of each choice what it says, then how it ended; then all the rest.

    Of the text of the first choice, so many characters are known already and left out.
    """
    frames: list[Json] = []
    for choice in choices_of(body):
        ending = {"finish_reason": choice.get("finish_reason")}
        frames += [_frame(_as_delta(choice, 0 if frames else known_characters))]
        silence: Json = {"delta": {}} if "message" in choice else {"text": ""}
        frames += [_frame({"index": choice.get("index", 0), **silence, **ending})]
    rest = {name: value for name, value in body.items() if name != "choices"}
    return [*frames, {"choices": [], **rest}] if rest else frames


def text_of(body: Json) -> str:
    """Return the text of a body: the content of its first choice. Calls of tools and embeddings have none."""
    choice = next(iter(choices_of(body)), {})
    message = choice.get("message")
    return _text(message.get("content") if isinstance(message, dict) else choice.get("text"))


def said_in(frame: Json) -> str:
    """Return what a frame adds to the text of the first choice."""
    first = [choice for choice in choices_of(frame) if choice.get("index", 0) == 0]
    delta = [choice.get("delta", choice.get("message")) for choice in first]
    contents = (
        part.get("content") if isinstance(part, dict) else choice.get("text")
        for part, choice in zip(delta, first, strict=True)
    )
    return "".join(map(_text, contents))


def body_in(output: str) -> Json | None:
    """Return the body that an output is, None if it is none."""
    return _object_in(output)


def text_in(output: str) -> str:
    """Return the text of the body that an output is; what is no body is its own text."""
    body = _object_in(output)
    return output if body is None else text_of(body)


def choices_of(body: Json) -> list[Json]:
    """Return the choices of a frame or a body."""
    choices = body.get("choices")
    return [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []


def shown_text(job: Job) -> str | None:
    """Return the text of a job's output for whoever shows no bodies; None if it has none, or it is an object."""
    return job.output if job.output is None or job.task.raw is None else text_in(job.output)


def _object_in(text: str) -> Json | None:
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _whole(choice: Json) -> Json:
    """Return a choice with its pieces joined; calls of tools are in their order then, and lose their places."""
    whole: Json = {name: joined(value) for name, value in choice.items()}
    if "message" not in whole:
        return whole
    message = whole["message"] if isinstance(whole["message"], dict) else {}
    whole["message"] = {"role": "assistant", "content": None, **message}
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        whole["message"]["tool_calls"] = [_placeless(call) for call in sorted(calls, key=_place)]
    return whole


def _place(call: Any) -> int:
    place = call.get("index") if isinstance(call, dict) else None
    return place if isinstance(place, int) else 0


def _placeless(call: Any) -> Any:
    return {name: value for name, value in call.items() if name != "index"} if isinstance(call, dict) else call


def _as_delta(choice: Json, known_characters: int) -> Json:
    said: Json = {name: value for name, value in choice.items() if name != "message"} | {"finish_reason": None}
    message = choice.get("message")
    if not isinstance(message, dict):
        return said | {"text": _text(said["text"])[known_characters:]} if known_characters and "text" in said else said
    delta = dict(message)
    if known_characters:
        delta["content"] = _text(delta.get("content"))[known_characters:]
    calls = delta.get("tool_calls")
    if isinstance(calls, list):
        placed = enumerate(calls)
        delta["tool_calls"] = [{"index": place, **call} if isinstance(call, dict) else call for place, call in placed]
    return said | {"delta": delta}


def _frame(choice: Json) -> Json:
    return {"choices": [choice]}


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(_text(part.get("text")) for part in content if isinstance(part, dict))
    return ""
