"""The checker finds every kind of broken promise: each is planted once into a sound history."""

from __future__ import annotations

import pytest

from gridloom_testing.checker import History

JOB = "0" * 32


def facts(*kinds):
    made = [{"type": f"job.{kind}.1", "seq": number, "id": f"id{number}"} for number, kind in enumerate(kinds, start=1)]
    for fact in made:
        if fact["type"] == "job.finished.1":
            fact["state"] = "succeeded"
    return made


def a_history(*kinds, state="succeeded", output="text"):
    told = facts(*kinds)
    document = {"_id": JOB, "state": state, "output": output, "events": told}
    return History({JOB: document}, {JOB: {fact["seq"]: [fact] for fact in told}})


SOUND = ("accepted", "assigned", "started", "finished")


def problem_of(history, accepted=(JOB,), **options):
    (problem,) = history.problems(accepted, **options)
    return problem


def test_a_sound_history_has_no_problems():
    assert a_history(*SOUND).problems([JOB]) == []


def test_a_retry_between_two_endings_is_sound():
    assert a_history("accepted", "finished", "retried", "assigned", "finished").problems([JOB]) == []


def test_a_lost_job_is_found():
    assert "it is lost" in problem_of(History({}), accepted=[JOB])


def test_a_second_ending_is_found():
    assert "after it ended" in problem_of(a_history(*SOUND, "finished"))


def test_life_after_the_end_is_found():
    assert "job.started.1 happened" in problem_of(a_history("accepted", "assigned", "finished", "started"))


def test_an_open_job_is_found():
    assert "has not ended: running" in problem_of(a_history("accepted", "assigned", state="running"))


def test_an_ending_that_was_not_told_is_found():
    assert "its last ending says nothing" in problem_of(a_history("accepted", "assigned"))


def test_an_ending_told_otherwise_is_found():
    assert "stored as failed" in problem_of(a_history(*SOUND, state="failed"))


def test_a_success_without_output_is_found():
    assert "without an output" in problem_of(a_history(*SOUND, output=None))


def test_a_job_that_was_never_accepted_is_found():
    assert "first fact" in problem_of(a_history("assigned", "finished"))


def test_a_gap_in_the_numbers_is_found():
    history = a_history(*SOUND)
    del history.stored[JOB]["events"][1]
    problems = history.problems([JOB])
    assert any("numbered [1, 3, 4]" in problem for problem in problems)


def test_a_fact_with_two_contents_is_found():
    history = a_history(*SOUND)
    history.published[JOB][2].append({"type": "job.assigned.1", "seq": 2, "id": "another"})
    assert "fact 2 was published as" in problem_of(history)


def test_the_same_fact_twice_is_sound():
    history = a_history(*SOUND)
    history.published[JOB][2] *= 2
    assert history.problems([JOB]) == []


@pytest.mark.parametrize(("was_wiped", "count"), [(False, 1), (True, 0)])
def test_a_fact_that_was_never_published_is_found_unless_the_store_was_wiped(was_wiped, count):
    history = a_history(*SOUND)
    del history.published[JOB][3]
    assert len(history.problems([JOB], was_wiped=was_wiped)) == count


def test_a_fact_of_an_unknown_job_is_found():
    history = a_history(*SOUND)
    history.published["f" * 32] = {1: [{"seq": 1, "id": "x"}]}
    assert "published, but not stored" in problem_of(history)
