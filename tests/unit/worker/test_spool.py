"""Unconfirmed results on disk."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import msgspec
import pytest

from gridloom_contract.work import ResultReport
from gridloom_testing.builders import a_result
from gridloom_worker.slots import Key
from gridloom_worker.spool import Files, open_spool


def entry(result: ResultReport) -> tuple[Key, bytes]:
    return (result.job, result.attempt), msgspec.json.encode(result)


@pytest.fixture(params=[True, False], ids=["synced", "unsynced"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    files = Files(tmp_path / "spool", is_synced=request.param)
    files.prepare()
    return files


def test_what_was_written_is_there_at_the_next_start(files: Files, tmp_path: Path) -> None:
    results = [a_result(), a_result(output='zwei\n"\U0001f600')]
    files.write(map(entry, results))
    again = Files(files.folder, is_synced=True)
    again.prepare()
    assert again.load() == results


def test_what_was_removed_is_gone(files: Files) -> None:
    kept, confirmed = a_result(), a_result()
    files.write(map(entry, (kept, confirmed)))
    files.remove([(confirmed.job, confirmed.attempt)])
    files.remove([(confirmed.job, confirmed.attempt)])
    assert files.load() == [kept]


def test_two_attempts_of_a_job_have_a_file_each(files: Files) -> None:
    first = a_result()
    second = msgspec.structs.replace(first, attempt=2)
    files.write(map(entry, (first, second)))
    assert len(files.load()) == 2


def test_a_torn_file_is_moved_aside_and_the_others_are_sent(files: Files) -> None:
    whole, torn = a_result(), a_result()
    files.write(map(entry, (whole, torn)))
    path = files.path_of((torn.job, torn.attempt))
    path.write_bytes(path.read_bytes()[:40])
    assert files.load() == [whole]
    assert (files.folder / "torn" / path.name).exists()
    assert not path.exists()


def test_torn_files_do_not_pile_up(files: Files) -> None:
    for number in range(70):
        files.path_of((f"{number:032x}", 1)).write_bytes(b"{")
    files.load()
    assert len(list((files.folder / "torn").iterdir())) == 64


def test_what_a_crash_left_half_written_is_cleared(files: Files) -> None:
    half = files.folder / "job.1.result.part"
    half.write_bytes(b"{")
    files.prepare()
    assert not half.exists()


def test_nobody_else_on_the_machine_can_read_results(files: Files) -> None:
    result = a_result()
    files.write([entry(result)])
    assert files.folder.stat().st_mode & 0o077 == 0
    assert files.path_of((result.job, result.attempt)).stat().st_mode & 0o077 == 0


async def test_a_disk_that_refuses_does_not_stop_the_worker(tmp_path: Path) -> None:
    result = a_result()
    async with open_spool(tmp_path / "spool", is_synced=True) as spool:
        (tmp_path / "spool").rename(tmp_path / "elsewhere")
        await spool.put(*entry(result))
        await spool.drop((result.job, result.attempt))


async def test_results_that_come_together_are_all_written(tmp_path: Path) -> None:
    results = [a_result() for _ in range(50)]
    async with open_spool(tmp_path, is_synced=False) as spool:
        await asyncio.gather(*(spool.put(*entry(result)) for result in results))
        assert {result.job for result in await spool.load()} == {result.job for result in results}


def test_a_large_output_is_kept_beside_its_result_and_gone_with_it(files: Files) -> None:
    result, text = a_result(output=None), "\U0001f600 zwei\r\n" * 100_000
    path = files.write_output((result.job, result.attempt), text)
    files.write([entry(result)])
    assert path.read_bytes().decode() == text

    again = Files(files.folder, is_synced=True)
    again.prepare()
    assert again.load() == [result]
    again.remove([(result.job, result.attempt)])
    assert [file for file in files.folder.iterdir() if file.is_file()] == []


def test_an_output_whose_result_was_never_written_is_cleared_at_the_next_start(files: Files) -> None:
    path = files.write_output(("job", 1), "text")
    files.prepare()
    assert not path.exists()


def test_a_result_whose_output_is_gone_is_never_taken_for_an_empty_one(files: Files) -> None:
    lost, empty = a_result(output=None), a_result(output="")
    files.write(map(entry, (lost, empty)))
    assert files.load() == [empty]


async def test_a_disk_that_takes_nothing_leaves_a_large_output_in_memory(tmp_path: Path) -> None:
    async with open_spool(tmp_path / "spool", is_synced=False) as spool:
        shutil.rmtree(tmp_path / "spool")
        content = await spool.put_large(a_result(output=None), "zwei")
    assert [piece async for piece in content.pieces()] == [b"zwei"]
