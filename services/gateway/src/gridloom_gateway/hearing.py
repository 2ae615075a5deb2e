"""What one reader hears of a job's text: as it is said, or read again from the token stream where it was missed.

It comes from whichever worker and attempt the follower turns to. What a slow reader leaves unread is not kept here: the
token stream has it, and hands it out again page by page, no faster than the reader takes it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gridloom_contract.jobs import Job
from gridloom_contract.vocabulary import State
from gridloom_contract.work import TokenChunk
from gridloom_gateway.frames import FrameReader, ending_of
from gridloom_gateway.stored import OpenText
from gridloom_gateway.transcript import Transcript
from gridloom_gateway.updates import Ended, Position, Said, StartedOver, Update

_MAX_UNREAD_CHUNKS = 4096
_MAX_UNREAD_CHARACTERS = 512 * 1024
"""What a slow reader leaves unread beyond this is dropped here and read from the token stream later."""
_MAX_STRANGE_CHUNKS = 256


@dataclass(frozen=True, slots=True)
class Page:
    """What the token stream has of a job behind some place: `end` is the sequence of the last chunk, `is_more` to come.

    Without chunks `end` is the place itself.
    """

    chunks: list[TokenChunk]
    end: int
    is_more: bool


ReadAgain = Callable[[str, int], Awaitable[Page]]
"""`read_again(worker, sequence)` returns what this worker said after that sequence."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A chunk as it came, from whom, when, and at which place of the token stream it is; 0 is nowhere."""

    worker: str
    chunk: TokenChunk
    at: float
    sequence: int


class Hearing:
    """Hears one worker's attempt at a time."""

    def __init__(self, read_again: ReadAgain, start: Position | None) -> None:
        self.worker: str | None = None
        self.transcript = Transcript(start.attempt, start.sent) if start else Transcript(0)
        self._read_again = read_again
        self._start = start or Position(0, 0)
        self._frames: FrameReader | None = None
        self._chunks: deque[Heard] = deque()
        self._unread_characters = 0
        self._strange: deque[Heard] = deque(maxlen=_MAX_STRANGE_CHUNKS)
        self._place = 0
        self._must_replay = self._has_hole = self._has_looked_back = False

    @property
    def current(self) -> tuple[str | None, int]:
        """Who is heard, and in which attempt."""
        return self.worker, self.transcript.attempt

    @property
    def is_raw(self) -> bool:
        """Whether the text is frames."""
        return self._frames is not None

    @property
    def has_strange(self) -> bool:
        """Whether something was said by somebody of whom only the scheduler knows whether to believe it."""
        return bool(self._strange)

    @property
    def is_behind(self) -> bool:
        """Whether the token stream has more that is to be read before anything else."""
        return self._must_replay and self.worker is not None

    def expect_frames(self) -> None:
        """Hear frames, from where the reader is."""
        self._frames = FrameReader(self._start.sent, self._start.content)

    def hear(self, heard: Heard) -> None:
        """Keep a chunk until it is read, if there is room."""
        is_room = self._unread_characters + len(heard.chunk.text) <= _MAX_UNREAD_CHARACTERS
        if is_room and len(self._chunks) < _MAX_UNREAD_CHUNKS:
            self._put_back(heard, is_last=True)

    def turn_to(self, attempt: int, worker: str | None) -> list[Update]:
        """Hear this worker from now on."""
        said: list[Update] = []
        if attempt != self.transcript.attempt:
            if self.transcript.sent:
                said.append(StartedOver(attempt))
            self.transcript = Transcript(attempt)
            self._frames = self._frames and FrameReader()
        self.worker, self._place = worker, 0
        self._has_hole = False
        return said

    def replay(self, *, from_start: bool = False) -> None:
        """Have what the token stream has read before anything else."""
        self._must_replay = True
        if from_start:
            self._place, self._has_hole = 0, False

    def judge_strangers(self) -> None:
        """Read again what strangers said: the scheduler has answered who is to be believed."""
        while self._strange:
            self._put_back(self._strange.pop())

    def looks_back(self, job: Job) -> bool:
        """Whether something is to be read before the end of this job is told. Says so once."""
        if self._has_looked_back or job.worker is None or not self._may_lack(job):
            return False
        self._has_looked_back = True
        self.replay()
        return True

    def has_part_in(self, job: Job) -> bool:
        """Whether the words of the attempt that the job ended with are the reader's."""
        return job.attempt == self.transcript.attempt or not self.transcript.sent

    async def read(self, asked_at: float) -> list[Update]:
        """Return what is new, as much as may be in hand at once. The scheduler was last asked at that time."""
        parts: list[str] = []
        if self.is_behind:
            parts += await self._replay()
        while self._chunks and not self.is_behind:
            heard = self._chunks.popleft()
            self._unread_characters -= len(heard.chunk.text)
            parts += await self._read_one(heard, asked_at)
        said = self._said("".join(parts))
        return [] if said is None else [said]

    async def ending(self, job: Job, open_text: OpenText) -> list[Update]:
        """Return what is missing at the end, and the end. Raises `FaultError`."""
        if self._frames is not None:
            return await ending_of(job, self._frames, open_text)
        output = job.output if job.state is State.SUCCEEDED else None
        if output is None:
            return [Ended(job, self.transcript.sent)]
        rest = self.transcript.finish(job.attempt, output)
        over: list[Update] = [StartedOver(job.attempt)] if rest.starts_over else []
        said: list[Update] = [Said(rest.text, job.attempt, len(output))] if rest.text else []
        return [*over, *said, Ended(job, len(output))]

    def _may_lack(self, job: Job) -> bool:
        if job.state is State.SUCCEEDED:
            return self._frames is not None and self._frames.lacks(job)
        return not job.data_removed and self.has_part_in(job)

    def _put_back(self, heard: Heard, *, is_last: bool = False) -> None:
        self._unread_characters += len(heard.chunk.text)
        if is_last:
            self._chunks.append(heard)
        else:
            self._chunks.appendleft(heard)

    def _said(self, text: str) -> Said | None:
        attempt = self.transcript.attempt
        if not text:
            return None
        return Said(text, attempt, self.transcript.sent) if self._frames is None else self._frames.take(text, attempt)

    async def _read_one(self, heard: Heard, asked_at: float) -> list[str]:
        if (heard.worker, heard.chunk.attempt) != self.current:
            # Perhaps of a worker we have not heard of yet; the next answer of the scheduler decides.
            if heard.chunk.attempt >= self.transcript.attempt and heard.at >= asked_at:
                self._strange.append(heard)
            return []
        text = self.transcript.take(heard.chunk)
        if text is not None:
            self._place = max(self._place, heard.sequence)
            return [text]
        return [] if self._has_hole else await self._fill_hole(heard)

    async def _fill_hole(self, heard: Heard) -> list[str]:
        """Read what is missing before a chunk, and the chunk once nothing is."""
        if heard.sequence <= self._place:
            self._place = 0  # the stream was made anew, and counts from the start
        missed = await self._replay()
        if self.is_behind:
            self._put_back(heard)
            return missed
        text = self.transcript.take(heard.chunk)
        self._has_hole = text is None  # the result will close it
        return [*missed, text or ""]

    async def _replay(self) -> list[str]:
        worker, attempt = self.current
        page = await self._read_again(worker or "", self._place)
        self._place, self._must_replay = page.end, page.is_more
        return [self.transcript.take(chunk) or "" for chunk in page.chunks if chunk.attempt == attempt]
