"""The end of a stream whose text is an object."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from hypothesis import given
from hypothesis import strategies as st

from gridloom_contract.vocabulary import State
from gridloom_contract.work import TokenChunk
from gridloom_gateway.stored import OpenText, rest_of
from gridloom_gateway.transcript import Transcript
from gridloom_gateway.updates import Ended, Said, StartedOver, Update
from gridloom_testing.builders import a_job

JOB = a_job(state=State.SUCCEEDED, attempt=2, output_ref="obj_1")


def kept(pieces: Sequence[str]) -> OpenText:
    """An object store with this text, in these pieces."""

    async def texts() -> AsyncIterator[str]:
        for piece in pieces:
            yield piece

    @asynccontextmanager
    async def open_text(ref: str) -> AsyncIterator[AsyncIterator[str]]:
        assert ref == "obj_1"
        yield texts()

    return open_text


async def rest(transcript: Transcript, pieces: Sequence[str]) -> list[Update]:
    return [update async for update in rest_of(JOB, "obj_1", transcript, kept(pieces))]


def heard(text: str, attempt: int = 2, sent: int = 0) -> Transcript:
    """A reader that had `sent` characters when it came, and heard this since."""
    transcript = Transcript(attempt, sent)
    transcript.take(TokenChunk(job=JOB.job, attempt=attempt, offset=sent, text=text))
    return transcript


async def test_who_heard_nothing_gets_all_of_it() -> None:
    assert await rest(Transcript(2), ["ab", "", "cd"]) == [Said("ab", 2, 2), Said("cd", 2, 4), Ended(JOB, 4)]


async def test_who_heard_a_beginning_gets_the_rest() -> None:
    assert await rest(heard("abc"), ["ab", "cd"]) == [Said("d", 2, 4), Ended(JOB, 4)]


async def test_who_heard_all_gets_the_end_only() -> None:
    assert await rest(heard("abcd"), ["ab", "cd"]) == [Ended(JOB, 4)]


async def test_who_heard_something_else_starts_over() -> None:
    for transcript in (heard("abX"), heard("abcde"), heard("ab", attempt=1)):
        assert await rest(transcript, ["ab", "cd"]) == [
            StartedOver(2),
            Said("ab", 2, 2),
            Said("cd", 2, 4),
            Ended(JOB, 4),
        ]


async def test_a_reader_that_resumes_is_believed_where_it_was() -> None:
    assert await rest(Transcript(2, sent=3), ["ab", "cd"]) == [Said("d", 2, 4), Ended(JOB, 4)]
    assert await rest(heard("c", sent=2), ["ab", "cd"]) == [Said("d", 2, 4), Ended(JOB, 4)]
    assert (await rest(heard("X", sent=2), ["ab", "cd"]))[0] == StartedOver(2)


@given(st.lists(st.text(max_size=5), max_size=6), st.integers(0, 30), st.integers(0, 30))
async def test_whatever_the_pieces_a_reader_ends_with_the_text(pieces: list[str], since: int, upto: int) -> None:
    text = "".join(pieces)
    since, upto = sorted((min(since, len(text)), min(upto, len(text))))
    transcript = heard(text[since:upto], sent=since)

    updates = await rest(transcript, pieces)

    said = "".join(update.text for update in updates if isinstance(update, Said))
    assert text[:upto] + said == text
    assert updates[-1] == Ended(JOB, len(text))
