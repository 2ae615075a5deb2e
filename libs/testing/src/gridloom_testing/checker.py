"""An independent judge of a grid's history: it reads what MongoDB and the EVENTS stream hold and trusts nobody.

It shares no code with the scheduler and decodes documents by hand, so that a mistake there is not repeated here. What
it asserts: every accepted job ended exactly once; the facts of a job are numbered without gaps; no fact exists with
two contents; what was published is what is stored, and what is stored was published.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec
import nats

from gridloom_contract import subjects
from gridloom_contract.streams import EVENTS
from gridloom_kit.mongo import Database
from gridloom_testing.servers import NatsServer

TERMINAL = frozenset({"succeeded", "failed", "canceled"})
FINISHED = "job.finished.1"
RETRIED = "job.retried.1"
ACCEPTED = "job.accepted.1"

_SETTLE_SECONDS = 0.1
_SETTLED = {"state": {"$in": sorted(TERMINAL)}, "$expr": {"$eq": ["$seq", "$published"]}}
"""Ended, and every fact of it is marked as published."""
Fact = Mapping[str, Any]


@dataclass
class History:
    """Everything known of the jobs of one grid. `stored` is by job, `published` by job and then by seq."""

    stored: dict[str, dict[str, Any]]
    published: dict[str, dict[int, list[Fact]]] = field(default_factory=dict)

    def problems(self, accepted: Iterable[str], *, was_wiped: bool = False) -> list[str]:
        """Return one sentence for each violation; `accepted` are the jobs whose submission was answered with yes.

        After a wipe of the JetStream store, facts published before it may be missing from the stream.
        """
        found = [f"{job}: accepted, but not stored: it is lost" for job in accepted if job not in self.stored]
        for job, document in self.stored.items():
            facts = document.get("events", [])
            found += [f"{job}: {problem}" for problem in _story_problems(document, facts)]
            found += [
                f"{job}: {problem}" for problem in _published_problems(facts, self.published.get(job, {}), was_wiped)
            ]
        found += [f"{job}: published, but not stored" for job in self.published if job not in self.stored]
        return found


async def read_history(database: Database, nats_server: NatsServer) -> History:
    """Read all jobs and all published facts of a grid."""
    documents = {document["_id"]: document async for document in database["jobs"].find({})}
    published: dict[str, dict[int, list[Fact]]] = defaultdict(lambda: defaultdict(list))
    for fact in await _published_facts(nats_server):
        published[fact["job"]][fact["seq"]].append(fact)
    return History(documents, published)


async def assert_all_ended_once(
    database: Database,
    nats_server: NatsServer,
    accepted: Iterable[str],
    *,
    within_seconds: float = 60.0,
    was_wiped: bool = False,
) -> History:
    """Wait until every accepted job has ended and every fact is out; then assert that the history is sound.

    Ids may be spelled with dashes, as the native API spells them, or without.
    """
    jobs = [UUID(job).hex for job in accepted]
    try:
        async with asyncio.timeout(within_seconds):
            while True:
                if await _is_settled(database, jobs):
                    break
                await asyncio.sleep(_SETTLE_SECONDS)
    except TimeoutError:
        raise AssertionError(await _unsettled(database, jobs)) from None
    history = await read_history(database, nats_server)
    problems = history.problems(jobs, was_wiped=was_wiped)
    assert not problems, "\n".join(problems[:20])
    return history


def _story_problems(document: Mapping[str, Any], facts: list[Fact]) -> list[str]:
    found = []
    numbers = [fact["seq"] for fact in facts]
    if numbers != list(range(1, len(facts) + 1)):
        found.append(f"its facts are numbered {numbers}")
    if not facts or facts[0]["type"] != ACCEPTED:
        found.append("its first fact is not that it was accepted")
    if document["state"] not in TERMINAL:
        found.append(f"it has not ended: {document['state']}")
    return found + _ending_problems(document, facts)


def _ending_problems(document: Mapping[str, Any], facts: list[Fact]) -> list[str]:
    """Between two endings there must be a retry, which its owner asked for."""
    found = []
    ending: Fact | None = None
    for fact in facts:
        if fact["type"] == RETRIED:
            ending = None
        elif ending is not None:
            found.append(f"after it ended as {ending.get('state')}, {fact['type']} happened")
        if fact["type"] == FINISHED:
            ending = fact
    if document["state"] in TERMINAL and (ending is None or ending["state"] != document["state"]):
        told = ending["state"] if ending else "nothing"
        found.append(f"it is stored as {document['state']}, its last ending says {told}")
    if document["state"] == "succeeded" and not isinstance(document.get("output"), str):
        found.append("it succeeded without an output")
    return found


def _published_problems(facts: list[Fact], published: Mapping[int, list[Fact]], was_wiped: bool) -> list[str]:
    found = []
    stored = {fact["seq"]: fact["id"] for fact in facts}
    for number, copies in published.items():
        identities = {copy["id"] for copy in copies}
        if identities != {stored.get(number)}:
            found.append(f"fact {number} was published as {sorted(identities)}, and stored as {stored.get(number)}")
    missing = sorted(stored.keys() - published.keys())
    if missing and not was_wiped:
        found.append(f"facts {missing} were never published")
    return found


async def _is_settled(database: Database, jobs: list[str]) -> bool:
    return await database["jobs"].count_documents({"_id": {"$in": jobs}, **_SETTLED}) == len(set(jobs))


async def _unsettled(database: Database, jobs: list[str]) -> str:
    """Say what the jobs that have not ended are waiting for."""
    shown = {"state": 1, "reason": 1, "attempt": 1, "worker": 1, "seq": 1, "published": 1}
    open_ones = {"_id": {"$in": jobs}, "$nor": [_SETTLED]}
    waiting = [document async for document in database["jobs"].find(open_ones, shown).limit(10)]
    known = await database["jobs"].count_documents({"_id": {"$in": jobs}})
    return f"{len(set(jobs)) - known} jobs are not stored; not ended or not published: {waiting}"


async def _published_facts(nats_server: NatsServer) -> list[Fact]:
    """Read the whole EVENTS stream with an administrator's rights."""
    connection = await nats.connect(nats_server.url, **nats_server.login_of("admin"))
    try:
        context = connection.jetstream()
        info = await context.stream_info(EVENTS)
        subscription = await context.subscribe(subjects.events_of_job("*"), ordered_consumer=True)
        return [msgspec.json.decode((await subscription.next_msg(timeout=5)).data) for _ in range(info.state.messages)]
    finally:
        await connection.close()
