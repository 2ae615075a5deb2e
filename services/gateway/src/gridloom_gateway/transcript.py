"""The text of one attempt as one reader has it. Pure: chunks in, the text that is new out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import blake2b

from gridloom_contract.work import TokenChunk


@dataclass(frozen=True)
class Ending:
    """What a reader still lacks when the job has ended: `text`, after forgetting all before if `starts_over`."""

    text: str
    starts_over: bool


class Transcript:
    """Counts characters (Python's, code points) from the start of the attempt.

    A reader that resumes has `sent` characters already; what they are is not known here, so only what passes through
    is compared with the result.
    """

    def __init__(self, attempt: int, sent: int = 0) -> None:
        self.attempt = attempt
        self.sent = sent
        self._known_from = sent
        self._heard = Print()

    def take(self, chunk: TokenChunk) -> str | None:
        """Return what is new in a chunk of this attempt, perhaps nothing; None if text before it is missing."""
        if chunk.offset > self.sent:
            return None
        new = chunk.text[self.sent - chunk.offset :] if chunk.offset < self.sent else chunk.text
        if new:
            self.sent += len(new)
            self._heard.add(new)
        return new

    def finish(self, attempt: int, output: str) -> Ending:
        """Return what is missing of the stored `output`, all of it if what was sent is not its beginning."""
        if attempt == self.attempt and self._is_start_of(output):
            return Ending(output[self.sent :], starts_over=False)
        return Ending(output, starts_over=self.sent > 0)

    def _is_start_of(self, output: str) -> bool:
        return len(output) >= self.sent and self._heard.is_of(output[self._known_from : self.sent])

    async def is_start_of(self, pieces: AsyncIterator[str]) -> bool:
        """Say the same of an output that comes in pieces, reading no further than it takes."""
        position, found = 0, Print()
        async for piece in pieces:
            found.add(piece[max(0, self._known_from - position) : max(0, self.sent - position)])
            position += len(piece)
            if position >= self.sent:
                break
        return position >= self.sent and found.is_same(self._heard)


class Print:
    """A fingerprint of text that passes by, so that nobody has to keep it."""

    def __init__(self) -> None:
        self._digest = blake2b(digest_size=16)

    def add(self, text: str) -> None:
        """Let text pass by."""
        self._digest.update(text.encode(errors="surrogatepass"))

    def is_of(self, text: str) -> bool:
        """Say whether it is this text that passed by."""
        other = Print()
        other.add(text)
        return self.is_same(other)

    def is_same(self, other: Print) -> bool:
        """Say whether the same text passed by there."""
        return self._digest.digest() == other._digest.digest()
