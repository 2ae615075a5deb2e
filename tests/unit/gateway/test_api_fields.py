"""The fields of the public APIs, written down once more, and the one form that an id has in each.

What is here was copied from what is documented, not from the code: a field that changes changes for every client.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from gridloom_contract.batches import Batch
from gridloom_contract.fault import FaultError
from gridloom_contract.fleet import ModelEntry
from gridloom_contract.jobs import Acceptance, JobPage
from gridloom_contract.vocabulary import Kind, State, Usage
from gridloom_domain import ids
from gridloom_gateway.dialects.infernet import translate as infernet
from gridloom_gateway.dialects.native import translate as native
from gridloom_gateway.dialects.openai.translate import batches as openai_batches
from gridloom_gateway.dialects.openai.translate import jobs as openai
from gridloom_gateway.dialects.openai.translate import models as openai_models
from gridloom_gateway.dialects.openai.translate import names
from gridloom_gateway.dialects.openai.translate.requests import Wish
from gridloom_gateway.dialects.openai.wire.batches import ListQuery as BatchQuery
from gridloom_gateway.dialects.openai.wire.jobs import ListQuery as JobQuery
from gridloom_gateway.dialects.remotejobs import translate as remotejobs
from gridloom_testing.builders import a_job, a_job_id

NOON = datetime(2026, 6, 20, 12, 0, 0, 250_000, tzinfo=UTC)
LATER = NOON + timedelta(milliseconds=1500)


def shown(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


# API.md §4.2 and the pages of each API: the fields of a job that is done, in their order.
A_DONE_JOB: dict[str, Any] = {
    "state": State.SUCCEEDED,
    "output": "Paris",
    "usage": Usage(tokens_in=24, tokens_out=8),
    "worker": "w1",
    "attempt": 1,
    "created_at": NOON,
    "started_at": NOON + timedelta(seconds=0.5),
    "ended_at": LATER,
}


def test_a_job_has_the_documented_fields_in_infernet() -> None:
    job = a_job(**A_DONE_JOB)
    assert shown(infernet.from_job(job)) == {
        "id": ids.as_prefixed(job.job),
        "status": "completed",
        "model": job.model,
        "node_id": "w1",
        "result": {
            "content": "Paris",
            "usage": {"prompt_tokens": 24, "completion_tokens": 8, "total_tokens": 32},
        },
        "created_at": "2026-06-20T12:00:00Z",
        "completed_at": "2026-06-20T12:00:01Z",
        "latency_ms": 1500,
    }


def test_a_job_has_the_documented_fields_in_remotejobs() -> None:
    job = a_job(**A_DONE_JOB, dialect="remotejobs", echo={"commandLine": '{"inputs":["x"]}', "copy": 1})
    assert shown(remotejobs.from_job(job, "log", remotejobs.STATUS, LATER)) == {
        "vmStatus": "finished",
        "states": {
            "default": {
                "status": "finished",
                "outputFiles": [],
                "log": "log",
                "commandLine": '{"inputs":["x"]}',
                "app": "gridrepublic:text-inference",
            }
        },
        "created": "2026-06-20T12:00:00+00:00",
        "copy": 1,
        "tag": job.model,
        "runtime": 1,
    }


def test_a_job_has_the_documented_fields_in_openai() -> None:
    job = a_job(**A_DONE_JOB, echo={"visibility": "private", "collection": "songs"})
    created = ids.created_ms(job.job) // 1000
    name = ids.as_base32(job.job)
    assert shown(openai.from_job(job)) == {
        "id": name,
        "status": "PROCESSED",
        "inference_type": "chat",
        "model": job.model,
        "model_name": job.model,
        "created": created,
        "created_on": "2026-06-20T12:00:00.250Z",
        "queued_at": "2026-06-20T12:00:00.250Z",
        "attempts": 1,
        "started_at": "2026-06-20T12:00:00.750Z",
        "completed_at": "2026-06-20T12:00:01.750Z",
        "latency_ms": 1000,
        "provider": "w1",
        "queue_position": None,
        "error": None,
        "visibility": "private",
        "collection": "songs",
        "result": {
            "id": f"chatcmpl-{name}",
            "object": "chat.completion",
            "created": created,
            "model": job.model,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Paris"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 24, "completion_tokens": 8, "total_tokens": 32},
        },
        "object": "inference.job",
    }


@pytest.mark.parametrize(
    ("kind", "word"), [(Kind.CHAT, "chat"), (Kind.COMPLETION, "completion"), (Kind.EMBEDDING, "embedding")]
)
def test_the_envelope_of_a_job_has_the_documented_fields(kind: Kind, word: str) -> None:
    job = a_job_id()
    told = shown(openai.from_acceptance(Acceptance(job=job, created_at=NOON), Wish(kind=kind, model="m", raw={})))
    assert told == {
        "id": ids.as_base32(job),
        "object": "inference.job",
        "status": "QUEUED",
        "inference_type": word,
        "model": "m",
        "created": ids.created_ms(job) // 1000,
        "queued_at": "2026-06-20T12:00:00.250Z",
    }


def test_a_job_that_was_retried_is_queued_anew() -> None:
    job = a_job(created_at=NOON, queued_at=LATER)
    for document in (openai.envelope_of(job), openai.from_job(job)):
        assert shown(document)["queued_at"] == "2026-06-20T12:00:01.750Z"
        assert shown(document)["created"] == ids.created_ms(job.job) // 1000


@pytest.mark.parametrize(
    ("state", "word", "is_canceled"), [(State.CANCELED, "CANCELED", True), (State.SUCCEEDED, "PROCESSED", False)]
)
def test_a_cancellation_has_the_documented_fields(state: State, word: str, is_canceled: bool) -> None:
    job = a_job(state=state)
    told = {"id": ids.as_base32(job.job), "status": word, "canceled": is_canceled}
    assert shown(openai.cancellation_of(job)) == told


def test_lists_have_the_documented_envelopes() -> None:
    page = JobPage(jobs=(a_job(),), total=9)
    assert list(shown(infernet.from_page(page))) == ["jobs"]
    assert set(shown(openai.from_page(page, JobQuery()))) == {"data", "has_more", "object"}
    assert shown(openai_models.from_models(())) == {"data": [], "object": "list"}
    assert shown(infernet.from_models(())) == {"models": []}
    assert (JobQuery().limit, BatchQuery().limit) == (50, 50)


def test_a_model_has_the_documented_fields() -> None:
    entry = ModelEntry(
        model="a/b",
        family="a/b",
        workers=2,
        tokens_per_second=95.04,
        features=("tools", "vision"),
        context_tokens=8192,
        first_seen_at=NOON,
    )
    assert shown(openai_models.from_model(entry)) == {
        "id": "a/b",
        "object": "model",
        "created": int(NOON.timestamp()),
        "owned_by": "gridloom",
        "service_type": "llm",
        "input_modalities": ["text", "image"],
        "output_modalities": ["text"],
        "supported_features": ["tools", "vision"],
        "context_length": 8192,
        "provider_count": 2,
    }
    assert shown(infernet.from_models((entry,)))["models"] == [{"id": "a/b", "nodes": 2, "avg_tokens_per_second": 95.0}]


def a_batch(**changes: Any) -> Batch:
    usual: dict[str, Any] = {"batch": a_job_id(), "account": "a", "key": "k", "dialect": "openai", "created_at": NOON}
    return Batch(**(usual | changes))


@pytest.mark.parametrize(
    ("counts", "status", "numbers"),
    [
        ({State.HELD: 1, State.QUEUED: 2}, "PENDING", (3, 0, 0, 0)),
        ({State.QUEUED: 1, State.CLAIMED: 1, State.RUNNING: 1}, "PROCESSING", (1, 2, 0, 0)),
        ({State.SUCCEEDED: 1, State.FAILED: 1, State.CANCELED: 1}, "DONE", (0, 0, 1, 2)),
    ],
)
def test_a_batch_of_requests_has_the_documented_fields_and_words(
    counts: dict[State, int], status: str, numbers: tuple[int, ...]
) -> None:
    batch = a_batch(counts=counts, total=3, submitted_at=NOON, echo={"label": "three"})
    queued, processing, processed, failed = numbers
    assert shown(openai_batches.from_batch(batch)) == {
        "id": f"batch_{ids.as_base32(batch.batch)}",
        "object": "inference.batch",
        "label": "three",
        "status": status,
        "total": 3,
        "queued": queued,
        "processing": processing,
        "processed": processed,
        "failed": failed,
        "created": int(NOON.timestamp()),
    }


def test_a_batch_with_a_file_has_the_documented_fields() -> None:
    echo = {"endpoint": "/v1/completions", "completion_window": "24h", "metadata": {"a": "b"}}
    counts = {State.SUCCEEDED: 2, State.FAILED: 1}
    batch = a_batch(counts=counts, total=3, input_file=a_job_id(), echo=echo, submitted_at=NOON, ended_at=LATER)
    told = shown(openai_batches.from_batch(batch))

    assert set(told) == {
        *("id", "object", "endpoint", "errors", "input_file_id", "completion_window", "status", "output_file_id"),
        *("error_file_id", "created_at", "in_progress_at", "expires_at", "finalizing_at", "completed_at", "failed_at"),
        *("expired_at", "cancelling_at", "cancelled_at", "request_counts", "metadata"),
    }
    assert (told["object"], told["status"], told["completed_at"]) == ("batch", "completed", int(LATER.timestamp()))
    assert told["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
    assert told["metadata"] == {"a": "b"}


# One job, four names (API.md §4); each API knows its own alone.
FORMS: dict[str, tuple[Callable[[str], str], Callable[[str], Any]]] = {
    "native": (ids.as_uuid, native.to_job_id),
    "remotejobs": (ids.as_hex, lambda text: remotejobs.to_job_ids(text)[0]),
    "infernet": (ids.as_prefixed, infernet.to_job_id),
    "openai": (ids.as_base32, names.to_job_id),
}


@pytest.mark.parametrize("name", FORMS)
def test_an_id_has_one_form_in_each_api(name: str) -> None:
    job = a_job_id()
    for other, (spell, _) in FORMS.items():
        read = FORMS[name][1]
        if other == name:
            assert read(spell(job)) == job
        else:
            with pytest.raises(FaultError):
                read(spell(job))
