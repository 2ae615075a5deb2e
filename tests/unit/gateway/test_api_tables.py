"""The tables of the public APIs, written down once more: every status word, every error, and every field by its name.

What is here was copied from what is documented, not from the code: a word that changes changes for every client.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from gridloom_contract.fault import Fault, FaultCode
from gridloom_contract.jobs import Job
from gridloom_contract.vocabulary import State
from gridloom_domain.job import STATES, Reason
from gridloom_gateway.dialects.infernet import sse as infernet_sse
from gridloom_gateway.dialects.infernet import translate as infernet
from gridloom_gateway.dialects.native import translate as native
from gridloom_gateway.dialects.openai.translate import faults as openai_faults
from gridloom_gateway.dialects.openai.translate import jobs as openai
from gridloom_gateway.dialects.remotejobs import translate as remotejobs
from gridloom_gateway.updates import Ended
from gridloom_testing.builders import a_job
from unit.gateway.mounted import Client, served

NOON = datetime(2026, 6, 20, 12, 0, 0, 250_000, tzinfo=UTC)
LATER = NOON + timedelta(milliseconds=1500)


def shown(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def by_remotejobs(job: Job) -> Any:
    return shown(remotejobs.from_job(job, "log", remotejobs.to_words(()), LATER))


def by_infernet(job: Job) -> Any:
    return shown(infernet.from_job(job))


def by_openai(job: Job) -> Any:
    return shown(openai.from_job(job))


def by_native(job: Job) -> Any:
    return shown(native.from_job(job))


# API.md §1.0: native, remotejobs, infernet, openai.
WORDS = {
    State.HELD: ("pending", "queued", "pending", "QUEUED"),
    State.QUEUED: ("pending", "queued", "pending", "QUEUED"),
    State.CLAIMED: ("claimed", "starting", "processing", "PROCESSING"),
    State.RUNNING: ("running", "running", "processing", "PROCESSING"),
    State.SUCCEEDED: ("completed", "finished", "completed", "PROCESSED"),
    State.FAILED: ("failed", "error", "failed", "FAILED"),
    State.CANCELED: ("failed", "cancelled", "failed", "CANCELED"),
}


@pytest.mark.parametrize("state", STATES)
def test_every_state_is_called_as_documented(state: State) -> None:
    job = a_job(state=state, output='{"choices":[]}' if state is State.SUCCEEDED else None)
    remote = by_remotejobs(job)

    told = (by_native(job)["status"], remote["vmStatus"], by_infernet(job)["status"], by_openai(job)["status"])

    assert told == WORDS[state]
    assert remote["states"]["default"]["status"] == remote["vmStatus"]


# The words by which lists are filtered, and the states that they mean.
FILTERS = {
    "infernet": {
        "all": (),
        "pending": (State.HELD, State.QUEUED),
        "processing": (State.CLAIMED, State.RUNNING),
        "completed": (State.SUCCEEDED,),
        "failed": (State.FAILED, State.CANCELED),
    },
    "openai": {
        "QUEUED": (State.HELD, State.QUEUED),
        "PROCESSING": (State.CLAIMED, State.RUNNING),
        "PROCESSED": (State.SUCCEEDED,),
        "FAILED": (State.FAILED,),
        "CANCELED": (State.CANCELED,),
    },
}


def test_every_filter_means_the_documented_states() -> None:
    assert {"infernet": infernet.STATES, "openai": openai.STATES} == FILTERS


# API.md §4.1, and what it leaves to us: status and word in each API. In remotejobs only the status tells.
FAULTS = {
    FaultCode.UNAUTHENTICATED: (
        *((401, "unauthenticated"), 401),
        *((401, "unauthorized"), (401, "not_authenticated", "invalid_api_key")),
    ),
    FaultCode.FORBIDDEN: ((403, "forbidden"), 403, (403, "forbidden"), (403, "forbidden", None)),
    FaultCode.INVALID: ((422, "invalid"), 200, (400, "bad_request"), (400, "invalid_request", None)),
    FaultCode.UNKNOWN_MODEL: (
        *((422, "unknown_model"), 200),
        *((404, "model_not_found"), (404, "no_provider", "model_not_found")),
    ),
    FaultCode.NO_CAPACITY: (
        *((503, "no_capacity"), 200),
        *((503, "no_capacity"), (404, "no_provider", "no_provider")),
    ),
    FaultCode.NOT_FOUND: ((404, "not_found"), 404, (404, "job_not_found"), (404, "not_found", None)),
    FaultCode.METHOD_NOT_ALLOWED: (
        *((405, "method_not_allowed"), 405),
        *((405, "method_not_allowed"), (405, "method_not_allowed", None)),
    ),
    FaultCode.CONFLICT: ((409, "conflict"), 409, (409, "conflict"), (409, "conflict", None)),
    FaultCode.TOO_LARGE: (
        *((413, "too_large"), 413),
        *((413, "too_large"), (413, "file_too_large", "file_too_large")),
    ),
    FaultCode.UNSUPPORTED_MEDIA: (
        *((415, "unsupported_media"), 415),
        *((415, "unsupported_media_type"), (415, "unsupported_media_type", None)),
    ),
    FaultCode.RATE_LIMITED: (
        *((429, "rate_limited"), 429),
        *((429, "rate_limited"), (429, "rate_limit_exceeded", "rate_limit_exceeded")),
    ),
    FaultCode.REQUEST_TIMEOUT: (
        *((408, "request_timeout"), 408),
        *((408, "request_timeout"), (408, "request_timeout", None)),
    ),
    FaultCode.UNAVAILABLE: ((503, "unavailable"), 503, (503, "unavailable"), (503, "unavailable", None)),
    FaultCode.UPSTREAM: ((502, "upstream"), 502, (502, "upstream_error"), (502, "upstream_error", None)),
    FaultCode.BAD_OUTPUT: ((502, "bad_output"), 502, (502, "upstream_error"), (502, "upstream_error", None)),
    FaultCode.WORKER_LOST: ((502, "worker_lost"), 502, (502, "node_disconnected"), (502, "upstream_error", None)),
    FaultCode.INTERNAL: ((500, "internal"), 500, (500, "internal_error"), (500, "server_error", None)),
    FaultCode.UNKNOWN: ((500, "unknown"), 500, (500, "internal_error"), (500, "server_error", None)),
}


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with served() as client:
        yield client


async def failure(client: Client, mount: str, code: FaultCode) -> tuple[int, Any]:
    async with client.get(f"{mount}/failures/{code}") as answer:
        return answer.status, await answer.json()


async def test_every_fault_is_told_as_documented(client: Client) -> None:
    assert set(FAULTS) == set(FaultCode)
    for code, row in FAULTS.items():
        in_native, in_remotejobs, in_infernet, in_openai = row
        status, body = await failure(client, "/api/v1", code)
        assert (status, body["error"]) == in_native, code
        status, body = await failure(client, "/remotejobs/v2", code)
        assert (status, body["success"], "as told" in body["error"]) == (in_remotejobs, False, True), code
        status, body = await failure(client, "/infernet/api/v1", code)
        assert (status, body["error"]) == in_infernet, code
        status, body = await failure(client, "/v1", code)
        assert (status, body["error"]["type"], body["error"]["code"]) == in_openai, code


# What the end of a job says to whoever reads it, or waited for it: by infernet's poll and stream, and by openai.
ENDINGS: dict[str, tuple[dict[str, Any], str, tuple[int, str]]] = {
    "the engine failed": ({"error": FaultCode.UPSTREAM}, "upstream_error", (502, "upstream_error")),
    "it said nonsense": ({"error": FaultCode.BAD_OUTPUT}, "upstream_error", (502, "upstream_error")),
    "the worker is gone": ({"error": FaultCode.WORKER_LOST}, "node_disconnected", (502, "upstream_error")),
    "the engine refused": ({"error": FaultCode.INVALID}, "bad_request", (400, "invalid_request")),
    "nobody was free": ({"error": FaultCode.NO_CAPACITY}, "no_capacity", (503, "unavailable")),
    "no quota is left": ({"error": FaultCode.RATE_LIMITED}, "rate_limited", (429, "rate_limit_exceeded")),
    "there is a bug": ({"error": FaultCode.INTERNAL}, "internal_error", (500, "server_error")),
    "canceled": ({"reason": Reason.USER}, "canceled", (409, "conflict")),
    "it took too long": ({"reason": Reason.TIMEOUT}, "canceled", (502, "upstream_error")),
    "it is too late": ({"reason": Reason.DEADLINE}, "canceled", (502, "upstream_error")),
    "nobody waited": ({"reason": Reason.CLIENT_GONE}, "canceled", (409, "conflict")),
    "the account is closed": ({"reason": Reason.ACCOUNT_CLOSED}, "canceled", (403, "forbidden")),
}


@pytest.mark.parametrize("case", ENDINGS)
def test_every_bad_end_is_told_as_documented(case: str) -> None:
    how, in_infernet, in_openai = ENDINGS[case]
    job = an_ended_job(**how)
    read, stream = by_infernet(job), infernet_sse.to_frame(Ended(job, 0)).decode()
    failed = openai_faults.failure_of(job)

    assert (read["status"], read["error"]) == ("failed", in_infernet)
    assert read["error_message"]
    assert f'data: {{"error":"{in_infernet}","message":' in stream
    assert stream.endswith("data: [DONE]\n\n")
    assert (openai_faults.HTTP[failed.fault.code], by_openai(job)["error"]["type"]) == in_openai
    assert by_remotejobs(job)["states"]["default"]["error"]


def an_ended_job(error: FaultCode | None = None, reason: str | None = None) -> Job:
    fault = None if error is None else Fault(code=error, message="why")
    return a_job(state=State.CANCELED if error is None else State.FAILED, error=fault, reason=reason, ended_at=LATER)


# API.md §1.5: what inference.club has, and this grid not yet.
NOT_YET = (
    ("POST", "/audio/transcriptions"),
    ("POST", "/audio/speech"),
    ("POST", "/images/generations"),
    ("POST", "/images/edits"),
    ("POST", "/music/generations"),
    ("POST", "/videos/generations"),
    ("POST", "/voice/generations"),
    ("POST", "/3d/generations"),
    ("GET", "/workflows/templates"),
    ("POST", "/workflows/runs"),
    ("GET", "/workflows/runs"),
    ("GET", "/workflows/runs/one"),
    ("POST", "/workflows/runs/one/steps/two/approve"),
    ("POST", "/workflows/runs/one/steps/two/reject"),
)


async def test_what_is_not_there_yet_is_a_404_that_says_so(client: Client) -> None:
    for method, path in NOT_YET:
        async with client.request(method, f"/v1{path}", json={"async": True}) as answer:
            body = await answer.json()
            assert (answer.status, body["error"]["type"]) == (404, "not_found"), path
            assert body["detail"] == body["error"]["message"]
            assert "this grid has no" in body["detail"], path
