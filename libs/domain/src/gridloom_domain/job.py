"""The life of a job: one table of legal transitions, and questions about it (API.md §1.0).

submit ─► held ◄──► queued ──► claimed ──► running ──► succeeded
                      ▲           │           │
                      ├───────────┴───────────┤        lease lost, handed back, failed in a way that may pass
                      ├── failed   ◄──────────┤        retry is the only way out of a terminal state
                      └── canceled ◄── from every live state
"""

from __future__ import annotations

from enum import StrEnum

from gridloom_contract.vocabulary import State


class Reason(StrEnum):
    """Why a job changed its state. Finer than the state, and what its timeline shows."""

    QUOTA = "quota"
    BLOB = "blob"
    BACKOFF = "backoff"
    GATE = "gate"

    ASSIGNED = "assigned"
    STARTED = "started"
    COMPLETED = "completed"
    RETRY = "retry"

    LEASE_LOST = "lease_lost"
    UNDELIVERED = "undelivered"
    REFUSED = "refused"
    WORKER_ERROR = "worker_error"
    UPSTREAM_ERROR = "upstream_error"
    BAD_OUTPUT = "bad_output"
    INVALID_REQUEST = "invalid_request"
    INPUT_LOST = "input_lost"
    NO_PROVIDER = "no_provider"
    NO_CAPACITY = "no_capacity"

    USER = "user"
    TIMEOUT = "timeout"
    DEADLINE = "deadline"
    GATE_REJECTED = "gate_rejected"
    ACCOUNT_CLOSED = "account_closed"
    CLIENT_GONE = "client_gone"


Transition = tuple[State, State]
Reasons = frozenset[Reason]

STATES = tuple(state for state in State if state is not State.UNKNOWN)
INITIAL = frozenset({State.HELD, State.QUEUED})
WAITING = frozenset({State.HELD, State.QUEUED})
IN_HAND = frozenset({State.CLAIMED, State.RUNNING})
TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELED})
LIVE = WAITING | IN_HAND

_HOLDS: Reasons = frozenset({Reason.QUOTA, Reason.BLOB, Reason.BACKOFF, Reason.GATE})
_HANDED_BACK: Reasons = frozenset(
    {
        Reason.LEASE_LOST,
        Reason.UNDELIVERED,
        Reason.REFUSED,
        Reason.WORKER_ERROR,
        Reason.UPSTREAM_ERROR,
        Reason.BAD_OUTPUT,
    }
)
_ATTEMPT_FAILED: Reasons = (_HANDED_BACK - {Reason.UNDELIVERED, Reason.REFUSED}) | {
    Reason.INVALID_REQUEST,
    Reason.INPUT_LOST,
}
_CANCELS: Reasons = frozenset(
    {
        Reason.USER,
        Reason.TIMEOUT,
        Reason.DEADLINE,
        Reason.GATE_REJECTED,
        Reason.ACCOUNT_CLOSED,
        Reason.CLIENT_GONE,
    }
)

TRANSITIONS: dict[Transition, Reasons] = {
    (State.HELD, State.QUEUED): _HOLDS,
    # Also while its account's quota has no room: whoever waits for the answer waits no longer.
    (State.HELD, State.FAILED): frozenset({Reason.NO_CAPACITY, Reason.QUOTA}),
    # A blob slot made for a job that still waits holds it until the upload is confirmed (seeds/000 §Blobs).
    (State.QUEUED, State.HELD): frozenset({Reason.QUOTA, Reason.BLOB}),
    (State.QUEUED, State.CLAIMED): frozenset({Reason.ASSIGNED}),
    (State.QUEUED, State.FAILED): frozenset({Reason.NO_PROVIDER, Reason.NO_CAPACITY, Reason.INPUT_LOST}),
    (State.CLAIMED, State.RUNNING): frozenset({Reason.STARTED}),
    (State.CLAIMED, State.QUEUED): _HANDED_BACK,
    (State.RUNNING, State.QUEUED): _HANDED_BACK,
    # Waiting still, behind another job of its worker, for longer than it may.
    (State.CLAIMED, State.FAILED): _ATTEMPT_FAILED | {Reason.NO_CAPACITY},
    (State.RUNNING, State.FAILED): _ATTEMPT_FAILED,
    (State.RUNNING, State.SUCCEEDED): frozenset({Reason.COMPLETED}),
    (State.HELD, State.CANCELED): _CANCELS,
    (State.QUEUED, State.CANCELED): _CANCELS,
    (State.CLAIMED, State.CANCELED): _CANCELS,
    (State.RUNNING, State.CANCELED): _CANCELS,
    (State.FAILED, State.QUEUED): frozenset({Reason.RETRY}),
    (State.CANCELED, State.QUEUED): frozenset({Reason.RETRY}),
}
"""Every legal change of state and the reasons that allow it. A result that overtakes its start report passes
through `running` in the same write."""


def may(origin: State, target: State) -> bool:
    """Say whether a job may go from `origin` to `target` at all."""
    return (origin, target) in TRANSITIONS


def reasons_for(origin: State, target: State) -> Reasons:
    """Return the reasons that take a job from `origin` to `target`; none if that is not allowed."""
    return TRANSITIONS.get((origin, target), frozenset())


def sources_of(target: State) -> frozenset[State]:
    """Return the states from which a job may reach `target`: what a compare-and-set on the state allows."""
    return frozenset(origin for origin, reached in TRANSITIONS if reached is target)


def is_terminal(state: State) -> bool:
    """Say whether the job has ended; only a retry, which is a new attempt, leads out."""
    return state in TERMINAL


def is_waiting(state: State) -> bool:
    """Say whether no worker has the job: it is held, or queued for one."""
    return state in WAITING


def is_in_hand(state: State) -> bool:
    """Say whether a worker has the job: it is claimed, or running."""
    return state in IN_HAND
