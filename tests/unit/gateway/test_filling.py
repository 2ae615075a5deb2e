"""Documents whose text is put in while they are written: the same bytes, whatever the pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gridloom_contract.vocabulary import State
from gridloom_gateway.dialects.native.translate import from_job
from gridloom_gateway.filling import filled, rendered
from gridloom_testing.builders import a_job

pieces_of_text = st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=8)


async def in_pieces(pieces: list[str]) -> AsyncIterator[str]:
    for piece in pieces:
        yield piece


@given(pieces_of_text, st.text(st.characters(exclude_categories=["Cs"]), max_size=64))
async def test_a_filled_document_is_the_whole_one(pieces: list[str], tag: str) -> None:
    job = a_job(state=State.SUCCEEDED, tag=tag, output_ref="obj_1")
    whole = msgspec.structs.replace(job, output="".join(pieces), output_ref=None)

    document = rendered(job, from_job)
    found = b"".join([part async for part in filled(document.content, in_pieces(pieces))])

    assert document.text_ref == "obj_1"
    assert found == rendered(whole, from_job).content == msgspec.json.encode(from_job(whole))


def test_a_document_that_shows_no_output_has_no_place_for_one() -> None:
    assert rendered(a_job(state=State.RUNNING, output_ref="obj_1"), from_job).text_ref is None
