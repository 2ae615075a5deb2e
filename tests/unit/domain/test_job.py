"""The state machine of a job (API.md §1.0)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom_contract.vocabulary import State
from gridloom_domain import job
from gridloom_domain.job import Reason

states = st.sampled_from(job.STATES)


@given(states, states)
def test_a_change_is_legal_exactly_if_some_reason_allows_it(origin: State, target: State) -> None:
    assert job.may(origin, target) == bool(job.reasons_for(origin, target))


@given(st.sampled_from(sorted(job.TERMINAL)), states)
def test_nothing_but_a_retry_leads_out_of_a_terminal_state(ended: State, target: State) -> None:
    assert job.reasons_for(ended, target) <= {Reason.RETRY}


@given(states)
def test_a_success_is_final(target: State) -> None:
    assert not job.may(State.SUCCEEDED, target)


@given(states)
def test_a_state_never_leads_to_itself(state: State) -> None:
    assert not job.may(state, state)


@given(states)
def test_every_state_is_exactly_one_of_waiting_in_hand_and_terminal(state: State) -> None:
    assert [job.is_waiting(state), job.is_in_hand(state), job.is_terminal(state)].count(True) == 1


@given(st.sampled_from(sorted(job.LIVE)))
def test_every_live_job_can_be_canceled_by_its_owner(state: State) -> None:
    assert Reason.USER in job.reasons_for(state, State.CANCELED)


@given(st.lists(states, max_size=12))
def test_every_walk_reaches_each_ending_from_a_state_where_that_is_possible(wanted: list[State]) -> None:
    # given a walk that takes every wish it may, starting where a submission starts
    state, visited = State.QUEUED, [State.QUEUED]
    for target in wanted:
        if job.may(state, target):
            state = target
            visited.append(state)

    # then a job that succeeded was claimed and ran just before
    for position, reached in enumerate(visited):
        if reached is State.SUCCEEDED:
            assert visited[position - 2 : position] == [State.CLAIMED, State.RUNNING]


def test_every_state_but_unknown_can_be_reached_from_a_submission() -> None:
    reached = set(job.INITIAL)
    while new := {target for origin, target in job.TRANSITIONS if origin in reached} - reached:
        reached |= new
    assert reached == set(job.STATES)


def test_unknown_takes_part_in_nothing() -> None:
    assert all(State.UNKNOWN not in pair for pair in job.TRANSITIONS)


def test_every_reason_allows_something() -> None:
    assert set(Reason) == {reason for reasons in job.TRANSITIONS.values() for reason in reasons}


@pytest.mark.parametrize(
    ("origin", "target"),
    [
        (State.HELD, State.CLAIMED),
        (State.QUEUED, State.RUNNING),
        (State.QUEUED, State.SUCCEEDED),
        (State.CLAIMED, State.SUCCEEDED),
        (State.RUNNING, State.CLAIMED),
        (State.FAILED, State.CANCELED),
        (State.CANCELED, State.FAILED),
        (State.CANCELED, State.RUNNING),
    ],
)
def test_shortcuts_are_refused(origin: State, target: State) -> None:
    assert not job.may(origin, target)


def test_the_sources_of_a_state_are_what_a_compare_and_set_allows() -> None:
    assert job.sources_of(State.SUCCEEDED) == {State.RUNNING}
    assert job.sources_of(State.CANCELED) == job.LIVE
    assert job.sources_of(State.CLAIMED) == {State.QUEUED}
