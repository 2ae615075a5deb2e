"""Frames as one reader gets them: whole ones out of the stream of a raw task, or what is missing of its body."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gridloom_contract.jobs import Job
from gridloom_contract.vocabulary import State
from gridloom_domain.completions import Json, body_in, choices_of, line_of, said_in, text_in, text_of, unfold
from gridloom_domain.errors import TooLarge
from gridloom_gateway.stored import OpenText
from gridloom_gateway.transcript import Print
from gridloom_gateway.updates import Ended, Frame, Said, StartedOver, Update

_MOST_BODY_CHARACTERS = 128 * 1024 * 1024
_MOST_PARTIAL_CHARACTERS = 8 * 1024 * 1024
"""An engine's frame is never that long."""


class FrameReader:
    """Counts what a reader has: characters of frames, `sent`, and of the text in them, `content`.

    A reader that resumes has some already; what they are is not known here.
    """

    def __init__(self, sent: int = 0, content: int = 0) -> None:
        self.sent = sent
        self.content = content
        self._known_from = content
        self._rest = ""
        self._heard = Print()

    def lacks(self, job: Job) -> bool:
        """Whether frames are missing that the token stream may still have."""
        return job.state is State.SUCCEEDED and not (job.data_removed or self._has_body or self._has_all(job))

    @property
    def _has_body(self) -> bool:
        """Whether what the reader has is text of a body: nobody knows of which frames that was."""
        return self.content > 0 and self.sent == 0

    def _has_all(self, job: Job) -> bool:
        return self.sent == job.streamed_characters and not (self._rest or self._has_body)

    def take(self, text: str, attempt: int) -> Said | None:
        """Return the frames that `text` completes, None if there are none. What is no frame is passed over."""
        *lines, self._rest = (self._rest + text).split("\n")
        if len(self._rest) > _MOST_PARTIAL_CHARACTERS:
            self._rest = ""
        frames = []
        for line in lines:
            self.sent += len(line) + 1
            if (frame := body_in(line)) is not None:
                frames.append(self._read(line, frame))
        return self._said(frames, attempt) if frames else None

    def rest_of(self, job: Job, body: Json) -> list[Update]:
        """Return what is missing of a body, all of it if what the reader has is not its beginning.

        Where its frames are gone, nobody can tell how much the reader has of calls of tools, and of several choices.
        """
        if self._has_all(job) and self._is_start_of(text_of(body)) and len(text_of(body)) == self.content:
            return []
        attempt = job.attempt
        text = text_of(body)
        is_plain = len(choices_of(body)) < 2 and not any(map(_calls_tools, choices_of(body)))
        has_start = self._is_start_of(text) and (is_plain or self.content == self.sent == 0)
        over = [] if has_start else [StartedOver(attempt)]
        if not has_start:
            self.content, self._heard, self._known_from = 0, Print(), 0
        self.sent = 0
        frames = [self._read(line_of(frame).rstrip("\n"), frame) for frame in unfold(body, self.content)]
        return [*over, self._said(frames, attempt)]

    def needs_body(self, job: Job) -> bool:
        """Whether the end of the job can only be told with its body; a large one is not fetched to compare it."""
        is_there = job.output is not None or job.output_ref is not None
        return job.state is State.SUCCEEDED and is_there and not (job.output is None and self._has_all(job))

    def _read(self, line: str, frame: Json) -> Frame:
        text = said_in(frame)
        self.content += len(text)
        return Frame(line, text, self.sent, self.content)

    def _said(self, frames: list[Frame], attempt: int) -> Said:
        text = "".join([frame.text for frame in frames])
        self._heard.add(text)
        return Said(text, attempt, self.sent, tuple(frames), self.content)

    def _is_start_of(self, text: str) -> bool:
        return len(text) >= self.content and self._heard.is_of(text[self._known_from : self.content])


async def ending_of(job: Job, frames: FrameReader, open_text: OpenText) -> list[Update]:
    """Return what a reader with these frames lacks of a job that is over, and the end. Raises `FaultError`."""
    body = await _body_of(job, open_text) if frames.needs_body(job) else None
    rest = [] if body is None else frames.rest_of(job, body)
    return [*rest, Ended(job, frames.sent, frames.content)]


async def _body_of(job: Job, open_text: OpenText) -> Json | None:
    if job.output is not None or job.output_ref is None:
        return body_in(job.output or "")
    async with open_text(job.output_ref) as pieces:
        return body_in(await whole_text(pieces))


@asynccontextmanager
async def text_of_body(open_text: OpenText, ref: str) -> AsyncIterator[AsyncIterator[str]]:
    """Yield the text of a body that is an object. Entering raises `TooLarge` or what `open_text` does."""
    async with open_text(ref) as pieces:
        yield _one(text_in(await whole_text(pieces)))


async def _one(text: str) -> AsyncIterator[str]:
    yield text


async def whole_text(pieces: AsyncIterator[str]) -> str:
    """Return a text that comes in pieces. Raises `TooLarge` if it is more than a reader could be told."""
    found, characters = [], 0
    async for piece in pieces:
        characters += len(piece)
        if characters > _MOST_BODY_CHARACTERS:
            raise TooLarge("the answer is too large to be shown in another form")
        found.append(piece)
    return "".join(found)


def _calls_tools(choice: Json) -> bool:
    message = choice.get("message")
    return bool(message.get("tool_calls")) if isinstance(message, dict) else False
