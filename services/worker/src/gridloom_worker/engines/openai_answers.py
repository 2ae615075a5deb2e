"""Answers as they come in: what is handed on of each frame, and how the answer ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import msgspec

from gridloom_contract.fault import FaultError
from gridloom_contract.jobs import Task
from gridloom_contract.vocabulary import Kind
from gridloom_domain.completions import Folding, Json, frame_of, line_of, unfold
from gridloom_domain.errors import Upstream
from gridloom_worker.engines.engine import Emit, Ending, TokenCounts
from gridloom_worker.engines.openai_faults import bad_output, frame_fault
from gridloom_worker.engines.openai_wire import Chunk, WireUsage, read


class Answer(Protocol):
    """One answer. `take` may raise what is wrong with a frame, the engine's own error if the frame is one."""

    has_finished: bool
    """Whether the engine has said that it is done: what breaks now costs nothing."""

    def take(self, data: bytes) -> None:
        """Hear one frame of a stream."""
        ...

    def take_whole(self, data: bytes) -> None:
        """Hear the answer in one piece: some engines answer so however they are asked."""
        ...

    def ending(self, *, is_done: bool) -> Ending:
        """Return how the answer ended. Raises `FaultError` if it never did; `is_done` says the engine closed it."""
        ...


def answer_to(task: Task, emit: Emit) -> Answer:
    """Return the answer to a task, yet empty."""
    if task.kind is Kind.EMBEDDING:
        return Vectors()
    return PlainAnswer(emit) if task.raw is None else RawAnswer(emit)


class PlainAnswer:
    """Hands on the text of the first choice."""

    def __init__(self, emit: Emit) -> None:
        self.has_finished = False
        self._emit = emit
        self._finish_reason: str | None = None
        self._usage = WireUsage()

    def take(self, data: bytes) -> None:
        """Hand on the text of one frame."""
        chunk = _frame(data, Chunk)
        _refuse_error(chunk.error)
        self._usage = chunk.usage or self._usage
        for choice in chunk.choices:
            if choice.index == 0:
                self._finish_reason = choice.finish_reason or self._finish_reason
                self.has_finished = self._finish_reason is not None
                if piece := choice.piece():
                    self._emit(piece)

    def take_whole(self, data: bytes) -> None:
        """A whole answer differs from a frame only in what its choices carry."""
        self.take(data)

    def ending(self, *, is_done: bool) -> Ending:
        """Return how the answer ended."""
        _refuse_half(is_done=is_done or self.has_finished)
        return Ending(finish_reason=self._finish_reason or "stop", usage=self._usage.as_counts())


class RawAnswer:
    """Hands on frames, and folds them into the body."""

    def __init__(self, emit: Emit) -> None:
        self.has_finished = False
        self._emit = emit
        self._folding = Folding()
        self._open: set[int] = set()

    def take(self, data: bytes) -> None:
        """Hand on one frame as the engine said it, but for its names."""
        self._take(frame_of(_object(data)))

    def take_whole(self, data: bytes) -> None:
        """Hand on the frames into which an answer in one piece unfolds."""
        body = _object(data)
        for frame in unfold(frame_of(body)):
            self._take(frame)
        self.has_finished = True

    def ending(self, *, is_done: bool) -> Ending:
        """Return how the answer ended."""
        _refuse_half(is_done=is_done or self.has_finished)
        body = self._body()
        reason = body["choices"][0]["finish_reason"] if body["choices"] else None
        said = reason if isinstance(reason, str) else "stop"
        return Ending(finish_reason=said, usage=_counts(body.get("usage")), body=_json(body))

    def _body(self) -> Json:
        try:
            return self._folding.body()
        except RecursionError as error:
            raise _too_deep() from error

    def _take(self, frame: Json) -> None:
        try:
            self._emit(line_of(frame))
            self._folding.take(frame)
        except RecursionError as error:
            raise _too_deep() from error
        for index, is_over in _ends_in(frame):
            (self._open.discard if is_over else self._open.add)(index)
            self.has_finished = not self._open


class Vectors:
    """Hands on nothing before the end: embeddings come in one piece."""

    def __init__(self) -> None:
        self.has_finished = False
        self._body: Json = {}

    def take(self, data: bytes) -> None:
        """Hear the answer of an engine that calls it a stream."""
        self.take_whole(data)

    def take_whole(self, data: bytes) -> None:
        """Hear the answer."""
        self._body = frame_of(_object(data))
        self.has_finished = True

    def ending(self, *, is_done: bool) -> Ending:
        """Return the vectors. Raises `FaultError` if there are none."""
        _refuse_half(is_done=is_done or self.has_finished)
        if not isinstance(self._body.get("data"), list):
            raise bad_output("the engine sent no embeddings")
        return Ending(finish_reason="stop", usage=_counts(self._body.get("usage")), body=_json(self._body))


def _counts(usage: Any) -> TokenCounts:
    """Return what a body says of its tokens; an engine may say anything."""
    try:
        return msgspec.convert(usage or {}, WireUsage).as_counts()
    except msgspec.ValidationError:
        return TokenCounts()


def _object(data: bytes) -> Json:
    found: Json = _frame(data, dict)
    _refuse_error(found.get("error"))
    return found


def _ends_in(frame: Json) -> Iterator[tuple[int, bool]]:
    """Yield each choice in a frame, and whether it is over."""
    choices = frame.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict):
            index = choice.get("index")
            yield index if isinstance(index, int) else 0, bool(choice.get("finish_reason"))


def _frame(data: bytes, wanted: Any) -> Any:
    try:
        return read(data, wanted)
    except (ValueError, RecursionError) as error:
        raise bad_output("the engine sent a frame that is no OpenAI chunk") from error


def _json(body: Json) -> str:
    try:
        return msgspec.json.encode(body).decode()
    except RecursionError as error:
        raise _too_deep() from error


def _too_deep() -> FaultError:
    return bad_output("the engine's answer is nested too deeply")


def _refuse_error(error: Any) -> None:
    if error is not None:
        raise frame_fault(msgspec.json.encode({"error": error}))


def _refuse_half(*, is_done: bool) -> None:
    if not is_done:
        raise Upstream("the engine's answer stopped in the middle")
