"""The worker's decisions: pure, without clock or I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from gridloom_contract.fault import Fault, FaultCode
from gridloom_contract.work import ModelSpeed, Offer, ResultReport, WorkOrder

CHUNK_GAP_SECONDS = 0.005
BEHIND_GAP_SECONDS = 0.020
BEHIND_BYTES = 256 * 1024
CHUNK_CHARACTERS = 10_000
"""A character takes at most six bytes on the wire, so a chunk stays below 64 KiB."""

MOST_OFFERS = 500
LONGEST_NAME = 200
CHEAP_SECONDS = 0.05
SPOOL_PATIENCE_SECONDS = 1.0

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0

_TOKEN = re.compile(r"glw_(w[a-z2-7]{12})_[A-Za-z0-9_-]+")
_FRAME = re.compile(r"[^\n]*\n|[^\n]+")
_SPEED_WEIGHT = 0.2


def worker_of(token: str) -> str:
    """Return the worker a token belongs to. Raises ValueError, without the token, if it is none."""
    match = _TOKEN.fullmatch(token.strip())
    if match is None:
        raise ValueError("the token is not a worker token: it should look like glw_<worker>_<secret>")
    return match[1]


def why_not_mine(order: WorkOrder, worker: str) -> Fault | None:
    """Return why this order must never be run here, whatever it says."""
    if order.worker == worker:
        return None
    message = f"order for worker {order.worker} was delivered to {worker}"
    return Fault(code=FaultCode.FORBIDDEN, message=message)


def why_hand_back(order: WorkOrder, offers: Iterable[Offer], *, is_draining: bool) -> Fault | None:
    """Return why this order should go to another worker, None if it is welcome."""
    if is_draining:
        return draining()
    if order.model not in {offer.model for offer in offers}:
        message = f"the worker does not serve {order.model} at the moment"
        return Fault(code=FaultCode.UNAVAILABLE, message=message, retryable=True)
    return None


def draining() -> Fault:
    """Return the fault of an order that comes while the worker takes nothing new."""
    return Fault(code=FaultCode.UNAVAILABLE, message="the worker is draining", retryable=True)


def handed_back(order: WorkOrder, fault: Fault) -> ResultReport:
    """Return the report that gives an untouched order back: it does not count as an attempt that failed."""
    return ResultReport(job=order.job, attempt=order.attempt, token=order.token, fault=fault, refused=True)


def chunk_pause_seconds(since_last_seconds: float, unsent_bytes: int) -> float:
    """Return how long to gather text before the next chunk.

    Up to 200 tokens a second each token is its own chunk; faster ones share chunks, the more so when the connection is
    behind by `unsent_bytes`.
    """
    gap = BEHIND_GAP_SECONDS if unsent_bytes > BEHIND_BYTES else CHUNK_GAP_SECONDS
    return max(0.0, gap - since_last_seconds)


def spool_patience_seconds(result: ResultReport) -> float:
    """Return how long a result may wait for its receipt before it is written to disk.

    What took the engine no time is soon done again, and thousands of such files a second would hold up the disk that
    everything else waits for; whatever took longer is written at once.
    """
    return SPOOL_PATIENCE_SECONDS if result.engine_seconds < CHEAP_SECONDS else 0.0


def pieces(text: str) -> list[str]:
    """Return `text` cut into pieces that each fit a chunk."""
    return [text[start : start + CHUNK_CHARACTERS] for start in range(0, len(text), CHUNK_CHARACTERS)]


def whole_frames(text: str) -> list[str]:
    """Return the frames in `text` gathered into pieces that each fit a chunk; one that is too long for that is cut."""
    gathered: list[list[str]] = []
    characters = CHUNK_CHARACTERS
    for piece in (piece for line in _FRAME.findall(text) for piece in pieces(line)):
        if characters + len(piece) > CHUNK_CHARACTERS:
            gathered.append([])
            characters = 0
        gathered[-1].append(piece)
        characters += len(piece)
    return ["".join(part) for part in gathered]


def pauses() -> Iterator[float]:
    """Yield, without end, how many seconds to wait before each next try of something that others must make work."""
    pause_seconds = FIRST_PAUSE_SECONDS
    while True:
        yield pause_seconds
        pause_seconds = min(pause_seconds * 2, LONGEST_PAUSE_SECONDS)


def too_large(size_bytes: int, limit_bytes: int) -> Fault:
    """Return the fault of an answer that no message can carry."""
    message = f"the answer takes {size_bytes} bytes, and at most {limit_bytes} can be sent"
    return Fault(code=FaultCode.TOO_LARGE, message=message)


def without_output(result: ResultReport, fault: Fault) -> ResultReport:
    """Return the failure of an attempt that had an answer, which nobody takes."""
    return msgspec.structs.replace(result, output=None, finish_reason=None, fault=fault)


def timed_out(timeout_seconds: float) -> Fault:
    """Return the fault of an answer that took too long."""
    message = f"there was no complete answer within {timeout_seconds:g} seconds"
    return Fault(code=FaultCode.REQUEST_TIMEOUT, message=message)


def interrupted() -> Fault:
    """Return the fault of an attempt that the worker broke off itself, to stop."""
    return Fault(code=FaultCode.WORKER_LOST, message="the worker was stopped during the job", retryable=True)


def faster(speed: ModelSpeed, result: ResultReport) -> ModelSpeed:
    """Return `speed` with one more finished job in it (moving averages; the first job sets them)."""
    tokens = result.usage.tokens_out if result.usage else 0
    writing_seconds = result.engine_seconds - (result.first_token_seconds or 0.0)
    rate = tokens / writing_seconds if writing_seconds > 0 else 0.0
    return msgspec.structs.replace(
        speed,
        tokens_per_second=_average(speed.tokens_per_second, rate),
        job_seconds=_average(speed.job_seconds, result.engine_seconds),
    )


def _average(before: float, now: float) -> float:
    if not before:
        return now
    return before + _SPEED_WEIGHT * (now - before) if now else before


def presentable(offers: Iterable[Offer]) -> tuple[Offer, ...]:
    """Return the offers that a hello may carry, each model once: one strange name must not cost all the others."""
    named = {offer.model: offer for offer in offers if _is_name(offer.model) and _is_name(offer.family)}
    return tuple(named.values())[:MOST_OFFERS]


def _is_name(text: str) -> bool:
    return 0 < len(text) <= LONGEST_NAME and text.isprintable()


def same_offers(one: Iterable[Offer], other: Iterable[Offer]) -> bool:
    """Whether two sets of offers differ in nothing a hello must tell; what is loaded goes with the heartbeats."""
    return [msgspec.structs.replace(offer, loaded=True) for offer in one] == [
        msgspec.structs.replace(offer, loaded=True) for offer in other
    ]
