"""Facts told again: all of what lives, then what ended within a day, a page at a time, from wherever it stopped."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from gridloom_contract.events import JobReleased
from gridloom_contract.streams import EVENTS
from gridloom_kit.jetstream import Outgoing
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.retelling import Retold
from gridloom_scheduler.rules.retelling import Retelling, after_page, born_anew
from unit.scheduler.records import NOW, a_record

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def a_told_record(name: str, ended_at: datetime | None = None) -> JobRecord:
    """A job with one fact."""
    fact = JobReleased(job=name, account="acc1", seq=1, at=NOW, id="f" * 32, reason="backoff")
    return a_record(id=name, ended_at=ended_at, events=(fact,))


class Shelf:
    """Jobs in memory, and how far they were told."""

    def __init__(self, *jobs: JobRecord, born: str | None = "first") -> None:
        self.jobs = sorted(jobs, key=lambda job: (job.ended_at or datetime.min.replace(tzinfo=NOW.tzinfo), job.id))
        self.told = Retelling(stream=EVENTS, born=born, since=NOW, is_done=True) if born else None

    async def find(self, stream: str) -> Retelling | None:
        return self.told if stream == EVENTS else None

    async def keep(self, told: Retelling) -> None:
        self.told = told

    async def page_after(self, told: Retelling, limit: int) -> list[JobRecord]:
        if told.until is None:
            return [job for job in self.jobs if job.ended_at is None and job.id > told.job][:limit]
        place = (told.ended_at, told.job)
        ended = [job for job in self.jobs if job.ended_at is not None and job.ended_at <= told.until]
        return [job for job in ended if (job.ended_at, job.id) > place][:limit]


class Bus:
    """Stores every message but those it refuses, once each."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.refuses: set[str] = set()

    async def publish_many(self, items: Sequence[Outgoing]) -> list[bool]:
        stored = [item.message_id not in self.refuses for item in items]
        self.sent += [item.message_id for item, is_stored in zip(items, stored, strict=True) if is_stored]
        self.refuses.clear()
        return stored


class StillClock:
    """It is always now."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


def a_retold(shelf: Shelf, bus: Bus, born: str | None = "second", *, is_mine: bool = True) -> Retold:
    """A replica that looks at a stream made at `born`."""
    return Retold(shelf, bus, StillClock(), lambda _stream: born, lambda: is_mine)


async def told_by(retold: Retold, times: int = 8) -> None:
    """Let it go on for a while."""
    for _ in range(times):
        await retold.go_on()


async def test_a_stream_born_anew_gets_what_lives_and_what_ended_within_a_day() -> None:
    shelf = Shelf(
        a_told_record("b"),
        a_told_record("a"),
        a_told_record("c", NOW - MINUTE),
        a_told_record("d", NOW - DAY + MINUTE),
        a_told_record("e", NOW - DAY - MINUTE),
    )
    bus = Bus()

    await told_by(a_retold(shelf, bus))

    assert bus.sent == ["a:1", "b:1", "d:1", "c:1"]
    assert shelf.told is not None
    assert shelf.told.is_done


async def test_many_jobs_are_told_page_by_page_and_each_once() -> None:
    shelf = Shelf(
        *(a_told_record(f"{number:04}") for number in range(600)),
        *(a_told_record(f"e{number:04}", NOW - MINUTE) for number in range(600)),
    )
    bus = Bus()

    await told_by(a_retold(shelf, bus), times=10)

    assert len(bus.sent) == len(set(bus.sent)) == 1_200


async def test_another_replica_goes_on_where_one_stopped() -> None:
    shelf, bus = Shelf(*(a_told_record(f"{number:04}") for number in range(600))), Bus()
    await told_by(a_retold(shelf, bus), times=1)

    await told_by(a_retold(shelf, bus))

    assert len(bus.sent) == len(set(bus.sent)) == 600


async def test_what_the_stream_did_not_take_is_told_again() -> None:
    shelf, bus = Shelf(a_told_record("a"), a_told_record("b")), Bus()
    bus.refuses = {"b:1"}

    await told_by(a_retold(shelf, bus))

    assert set(bus.sent) == {"a:1", "b:1"}


async def test_a_stream_that_lost_nothing_is_told_nothing() -> None:
    bus = Bus()

    await told_by(a_retold(Shelf(a_told_record("a"), born="first"), bus, born="first"))
    await told_by(a_retold(Shelf(a_told_record("a")), bus, born=None))

    assert bus.sent == []


async def test_a_stream_that_nobody_knows_of_is_told_everything() -> None:
    bus = Bus()

    await told_by(a_retold(Shelf(a_told_record("a"), born=None), bus))

    assert bus.sent == ["a:1"]


async def test_only_one_replica_tells() -> None:
    bus = Bus()

    await told_by(a_retold(Shelf(a_told_record("a")), bus, is_mine=False))

    assert bus.sent == []


async def test_a_stream_that_is_lost_again_is_told_from_the_beginning() -> None:
    shelf, bus = Shelf(a_told_record("a")), Bus()
    await told_by(a_retold(shelf, bus, born="second"))

    await told_by(a_retold(shelf, bus, born="third"))

    assert bus.sent == ["a:1", "a:1"]


def test_who_ends_while_all_is_told_is_not_waited_for() -> None:
    told = after_page(born_anew(EVENTS, "second", NOW), [], NOW)

    assert (told.until, told.ended_at, told.is_done) == (NOW, NOW - DAY, False)
    assert after_page(told, [], NOW + DAY).is_done
