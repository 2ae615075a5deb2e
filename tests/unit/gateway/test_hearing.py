"""What a reader hears although it is slow: each word once and in order, and never more in hand than it may be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gridloom_contract.vocabulary import State
from gridloom_contract.work import TokenChunk
from gridloom_gateway.hearing import Heard, Hearing, Page
from gridloom_gateway.updates import Said, Update
from gridloom_testing.builders import a_job

WORKER = "w"
NOW = 1.0
KIBIBYTE = 1024


class Tokens:
    """The token stream: `pages` is how often it was asked. It hands out `page_chunks` at once."""

    def __init__(self, page_chunks: int = 4) -> None:
        self.text = ""
        self.chunks: list[tuple[int, TokenChunk]] = []
        self.pages = 0
        self._page_chunks = page_chunks
        self._offset = 100

    def say(self, text: str) -> Heard:
        """Store a chunk and return it as it would be heard."""
        chunk = TokenChunk(job="j", attempt=1, offset=len(self.text), text=text)
        self.text += text
        self._offset += 3  # others speak, too
        self.chunks.append((self._offset, chunk))
        return Heard(WORKER, chunk, NOW, self._offset)

    async def after(self, worker: str, sequence: int) -> Page:
        assert worker == WORKER
        self.pages += 1
        rest = [one for one in self.chunks if one[0] > sequence]
        page = rest[: self._page_chunks]
        end = page[-1][0] if page else sequence
        return Page([chunk for _, chunk in page], end, is_more=len(rest) > len(page))


def a_hearing(tokens: Tokens) -> Hearing:
    hearing = Hearing(tokens.after, None)
    hearing.turn_to(1, WORKER)
    return hearing


def said_in(updates: list[Update]) -> list[str]:
    return [update.text for update in updates if isinstance(update, Said)]


async def read_all(hearing: Hearing) -> list[str]:
    """Read until there is nothing more to read, one reading after the other."""
    texts = said_in(await hearing.read(NOW))
    while hearing.is_behind:
        texts += said_in(await hearing.read(NOW))
    return texts


async def test_what_is_heard_in_time_is_asked_of_nobody() -> None:
    tokens = Tokens()
    hearing = a_hearing(tokens)
    for word in ("warp ", "and ", "weft"):
        hearing.hear(tokens.say(word))

    assert await read_all(hearing) == ["warp and weft"]
    assert tokens.pages == 0


async def test_a_slow_reader_gets_all_of_it_page_by_page() -> None:
    tokens = Tokens(page_chunks=4)
    hearing = a_hearing(tokens)
    for number in range(40):
        hearing.hear(tokens.say(f"{number % 10}" * 100 * KIBIBYTE))

    texts = await read_all(hearing)
    hearing.hear(tokens.say("!"))
    texts += await read_all(hearing)

    assert "".join(texts) == tokens.text
    assert max(map(len, texts)) <= 512 * KIBIBYTE
    assert tokens.pages <= 40 / 4 + 1, "what was read once is not read again"


async def test_a_stream_that_was_made_anew_counts_from_the_start() -> None:
    tokens = Tokens()
    hearing = a_hearing(tokens)
    hearing.hear(tokens.say("warp "))
    await read_all(hearing)
    tokens.chunks = [(1, TokenChunk(job="j", attempt=1, offset=0, text="warp and "))]
    hearing.hear(Heard(WORKER, TokenChunk(job="j", attempt=1, offset=9, text="weft"), NOW, 2))

    assert await read_all(hearing) == ["and weft"]


async def test_a_word_that_nobody_has_is_looked_for_once() -> None:
    tokens = Tokens()
    hearing = a_hearing(tokens)
    tokens.say("lost ")
    tokens.chunks.clear()
    for word in ("and ", "never ", "found"):
        hearing.hear(tokens.say(word))

    assert await read_all(hearing) == []
    assert tokens.pages == 1


async def test_before_a_failure_is_told_the_last_words_are_looked_for_once() -> None:
    tokens = Tokens()
    hearing = a_hearing(tokens)
    tokens.say("last words")
    job = a_job(state=State.FAILED, worker=WORKER, attempt=1)

    assert hearing.looks_back(job)
    assert await read_all(hearing) == ["last words"]
    assert not hearing.looks_back(job)


async def test_the_words_of_a_job_that_was_forgotten_are_not_looked_for() -> None:
    tokens = Tokens()
    hearing = a_hearing(tokens)
    assert not hearing.looks_back(a_job(state=State.FAILED, worker=WORKER, attempt=1, data_removed=True))


@given(st.lists(st.tuples(st.integers(1, 9), st.booleans(), st.booleans()), max_size=30), st.integers(1, 5))
async def test_whatever_was_dropped_is_there_in_the_end(plan: list[tuple[int, bool, bool]], page_chunks: int) -> None:
    tokens = Tokens(page_chunks)
    hearing, texts = a_hearing(tokens), list[str]()
    for length, is_heard, is_read in plan:
        heard = tokens.say("x" * length)
        if is_heard:
            hearing.hear(heard)
        if is_read:
            texts += said_in(await hearing.read(NOW))
    hearing.hear(tokens.say("!"))
    texts += await read_all(hearing)

    assert "".join(texts) == tokens.text
