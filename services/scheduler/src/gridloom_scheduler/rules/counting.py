"""Tokens: whether a worker's counts can be true of the texts, and an estimate where they cannot.

Workers are strangers, and what they count is what accounts pay for. No tokenizer makes more than one token of a byte;
none makes so few of a text that they have over twenty characters each. The bounds leave room for what is not in the
texts: templates and tools around a prompt, files, thoughts that are not part of the answer. An engine may also cut a
long prompt to its context, so few tokens of a very long one are believed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from gridloom_contract.vocabulary import Kind, Usage
from gridloom_domain.tokens import guessed_tokens
from gridloom_scheduler.record import InputSize, JobRecord

_MOST_CHARACTERS_PER_TOKEN = 20
_MOST_BYTES_PER_CHARACTER = 4
_SMALLEST_CONTEXT_TOKENS = 1_024
_TEMPLATE_TOKENS = 2_048
_FILE_TOKENS = 16_384
_MARK_TOKENS = 16
_HIDDEN_TOKENS_PER_SECOND = 500
_MOST_UNKNOWN_BYTES = 64 * 1024 * 1024
_CLOCK_SECONDS = 1.0


@dataclass(frozen=True)
class Evidence:
    """What is known of one attempt without its worker. `output_characters` is None if there is no answer to look at.

    `doubtful_characters` are those of an answer that were not looked at, and may be about it instead of in it. What
    never `writes`, like a model for embeddings, has no thoughts either.
    """

    input_size: InputSize | None
    files: int
    seconds: float
    output_characters: int | None
    doubtful_characters: int = 0
    writes: bool = True


@dataclass(frozen=True)
class Length:
    """How long an answer is for sure, and how much longer it may be."""

    sure: int
    doubtful: int = 0


def evidence_of(job: JobRecord, output: Length | None, at: datetime) -> Evidence:
    """Return what is known of the attempt that ends now with an answer of this length, or without one."""
    return Evidence(
        input_size=job.input_size,
        files=len(job.attachments),
        seconds=seconds_in_hand(job, at),
        output_characters=output.sure if output else None,
        doubtful_characters=output.doubtful if output else 0,
        writes=job.kind is not Kind.EMBEDDING,
    )


def seconds_in_hand(job: JobRecord, at: datetime) -> float:
    """Return for how long the worker has had the job at most, by our clock: its engine worked no longer."""
    since = job.claimed_at or at
    return max(0.0, (at - since).total_seconds()) + _CLOCK_SECONDS


def credible(usage: Usage | None, evidence: Evidence) -> Usage | None:
    """Return the counts with those that cannot be true replaced by estimates, and marked so then.

    Of an answer that nobody counted both are estimated; without an answer there is nothing to count.
    """
    if usage is None:
        return None if evidence.output_characters is None else _estimate(evidence)
    tokens_in = usage.tokens_in if _may_be_in(usage.tokens_in, evidence) else _estimated_in(evidence)
    tokens_out = usage.tokens_out if _may_be_out(usage.tokens_out, evidence) else _estimated_out(evidence)
    is_same = (tokens_in, tokens_out) == (usage.tokens_in, usage.tokens_out)
    return usage if is_same else Usage(tokens_in=tokens_in, tokens_out=tokens_out, estimated=True)


def _may_be_in(tokens: int, evidence: Evidence) -> bool:
    size = evidence.input_size or InputSize(text_characters=None, task_bytes=_MOST_UNKNOWN_BYTES)
    has_answer = evidence.output_characters is not None
    least = min(_fewest(size.text_characters or 0), _SMALLEST_CONTEXT_TOKENS) if has_answer else 0
    return least <= tokens <= size.task_bytes + _TEMPLATE_TOKENS + evidence.files * _FILE_TOKENS


def _may_be_out(tokens: int, evidence: Evidence) -> bool:
    characters = evidence.output_characters or 0
    if not evidence.writes:
        return tokens == 0
    most = characters + evidence.doubtful_characters
    hidden = _MARK_TOKENS + math.ceil(evidence.seconds * _HIDDEN_TOKENS_PER_SECOND)
    return _fewest(characters) <= tokens <= most * _MOST_BYTES_PER_CHARACTER + hidden


def _fewest(characters: int) -> int:
    return math.ceil(characters / _MOST_CHARACTERS_PER_TOKEN)


def _estimate(evidence: Evidence) -> Usage:
    return Usage(tokens_in=_estimated_in(evidence), tokens_out=_estimated_out(evidence), estimated=True)


def _estimated_in(evidence: Evidence) -> int:
    size = evidence.input_size
    if size is None:
        return 0
    characters = size.task_bytes if size.text_characters is None else size.text_characters
    return guessed_tokens(characters)


def _estimated_out(evidence: Evidence) -> int:
    if not evidence.writes:
        return 0
    return guessed_tokens((evidence.output_characters or 0) + evidence.doubtful_characters)
