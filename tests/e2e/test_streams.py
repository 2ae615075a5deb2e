"""A job's text as readers follow it through real gateways and a real worker: early, late, twice, cut off, elsewhere."""

from __future__ import annotations

from e2e.conftest import SLOW
from gridloom_testing.clients import JOBS, ApiClient
from integration.gateway.reading import StreamReader, reading


async def read_words(reader: StreamReader, count: int) -> None:
    """Read until so many words have come."""
    while len(reader.text.split()) < count:
        name, _ = await reader.next()
        assert name != "done", f"the job ended with {reader.text!r}"


async def test_every_reader_sees_the_same_text(client: ApiClient, beside: ApiClient) -> None:
    job = await client.submit(prompt=SLOW)
    async with reading(client, job) as early:
        await read_words(early, 10)
        async with reading(client, job) as late, reading(beside, job) as elsewhere:
            readers = [early, late, elsewhere]
            documents = [await reader.until_done() for reader in readers]

    output = (await client.job(job))["output"]
    assert [reader.text for reader in readers] == [output] * 3
    assert [document["output"] for document in documents] == [output] * 3
    assert len(output.split()) == 60


async def test_a_reader_sees_the_states_the_words_one_by_one_and_the_document(client: ApiClient) -> None:
    job = await client.submit(prompt=SLOW)
    tokens = 0
    async with reading(client, job) as reader:
        while (event := await reader.next())[0] != "done":
            tokens += event[0] == "token"

    assert reader.statuses[-1] == "running"
    assert tokens > 5
    assert reader.resets == 0
    assert event[1] == await client.job(job)


async def test_a_reader_that_was_cut_off_goes_on_at_another_gateway(client: ApiClient, beside: ApiClient) -> None:
    job = await client.submit(prompt=SLOW)
    async with reading(client, job) as first:
        await read_words(first, 10)
    async with reading(beside, job, first.last_id) as second:
        await read_words(second, 10)
    async with reading(client, job, second.last_id) as third:
        document = await third.until_done()

    assert first.text + second.text + third.text == document["output"]
    assert first.resets + second.resets + third.resets == 0


async def test_after_the_end_the_text_is_replayed_from_the_start_or_from_where_a_reader_was(
    client: ApiClient, beside: ApiClient
) -> None:
    job = await client.submit(prompt=SLOW)
    async with reading(client, job) as cut_off:
        await read_words(cut_off, 10)
    output = (await client.ended(job))["output"]

    async with reading(beside, job) as replay, reading(beside, job, cut_off.last_id) as rest:
        await replay.until_done()
        await rest.until_done()

    assert replay.text == output
    assert cut_off.text + rest.text == output


async def test_the_stream_of_a_canceled_job_ends_with_what_was_said(client: ApiClient, beside: ApiClient) -> None:
    job = await client.submit(prompt="[[tokens=5]] [[hang]]")
    async with reading(beside, job) as reader:
        await read_words(reader, 5)
        await client.call("POST", f"{JOBS}/{job}/cancel")
        document = await reader.until_done()

    assert (document["status"], document["cancelled"]) == ("failed", True)
    assert "output" not in document
