"""How an answer is named: the four fields that no engine may choose, and the words for kinds of jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from gridloom_contract.jobs import Job
from gridloom_contract.vocabulary import Kind
from gridloom_domain import ids
from gridloom_gateway.desk import no_such_job

INFERENCE_TYPE: Final[dict[Kind, str]] = {
    Kind.CHAT: "chat",
    Kind.COMPLETION: "completion",
    Kind.EMBEDDING: "embedding",
    Kind.UNKNOWN: "unknown",
}


@dataclass(frozen=True)
class _Words:
    prefix: str
    whole: str
    chunk: str


_CHAT: Final = _Words("chatcmpl-", "chat.completion", "chat.completion.chunk")
_WORDS: Final[dict[Kind, _Words]] = {
    Kind.CHAT: _CHAT,
    Kind.COMPLETION: _Words("cmpl-", "text_completion", "text_completion"),
    Kind.EMBEDDING: _Words("", "list", "list"),
    Kind.UNKNOWN: _CHAT,
}


@dataclass(frozen=True)
class Names:
    """Whose answer it is."""

    job: str
    kind: Kind
    model: str

    def of_body(self) -> str:
        """Return the beginning of the answer's JSON."""
        return self._opening(_WORDS[self.kind].whole)

    def of_chunk(self) -> str:
        """Return the beginning of the JSON of each chunk."""
        return self._opening(_WORDS[self.kind].chunk)

    def _opening(self, kind_of_object: str) -> str:
        prefix = _WORDS[self.kind].prefix
        named = {"id": prefix + ids.as_base32(self.job), "object": kind_of_object, "created": created(self.job)}
        shown = (named if prefix else {"object": kind_of_object}) | {"model": self.model}
        return f"{msgspec.json.encode(shown).decode()[:-1]},"


def names_of(job: Job) -> Names:
    """Return the names of a job's answer."""
    return Names(job.job, job.task.kind, job.model)


def created(job: str) -> int:
    """Return the second in which the id was made: the same in every answer about the job."""
    return ids.created_ms(job) // 1000


def to_job_id(text: str) -> str:
    """Return the core's id. Raises the same `NotFound` as for a job that does not exist."""
    try:
        return ids.from_base32(text)
    except ValueError:
        raise no_such_job() from None
