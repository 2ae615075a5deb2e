"""Subjects: nothing that a client names can leave its token."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom_contract import subjects

names = st.text(min_size=1, max_size=60)
tricky_names = st.text(alphabet=".*>% \t\r\n\x00\x7f2AE", min_size=1, max_size=12)


def unescape(token: str) -> str:
    """Read a token back, written independently of the code under test."""
    return re.sub(r"%([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), token)


@given(names | tricky_names)
def test_a_token_has_nothing_that_means_something_to_the_server(name: str) -> None:
    token = subjects.token(name)
    assert token
    assert not set(token) & set(".*> ")
    assert all(character.isprintable() or ord(character) > 127 for character in token)


@given(names | tricky_names)
def test_a_token_can_be_read_back_so_two_names_never_share_one(name: str) -> None:
    assert unescape(subjects.token(name)) == name


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789-_:/", min_size=1))
def test_ordinary_names_stay_as_they_are(name: str) -> None:
    assert subjects.token(name) == name


def test_an_empty_name_has_no_token() -> None:
    with pytest.raises(ValueError, match="empty"):
        subjects.token("")


@given(names | tricky_names)
def test_a_work_order_has_five_tokens_whatever_the_model_is_called(model: str) -> None:
    subject = subjects.work("high", model, "w1", "j1")
    assert subject.split(".") == ["work", "high", subjects.token(model), "w1", "j1"]


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz234567", min_size=12, max_size=12))
def test_every_worker_has_one_shard_and_is_found_in_its_subjects(name: str) -> None:
    worker = f"w{name}"
    assert 0 <= subjects.worker_shard(worker) < subjects.SHARDS
    for subject in (subjects.worker_hello(worker), subjects.worker_report(worker), subjects.tokens(worker, "j1")):
        assert subjects.worker_in(subject) == worker
