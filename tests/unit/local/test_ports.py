"""Ports: the gateway's as asked for, the others free ones that stay the same."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridloom_local.ports import choose_ports, gateway_port, is_free, remember_ports, remembered_ports, require_free
from gridloom_local.problems import Problem
from gridloom_local.servers import free_port


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_the_gateway_listens_on_8080_unless_told_otherwise() -> None:
    assert gateway_port({}) == 8080
    assert gateway_port({"GRIDLOOM_PORT": "9090"}) == 9090


@pytest.mark.parametrize("text", ["http", "0", "-1", "65536", "8080.5", "٨٠"])
def test_anything_that_is_no_port_is_refused_by_its_value(text: str) -> None:
    with pytest.raises(Problem, match="is not a port") as caught:
        gateway_port({"GRIDLOOM_PORT": text})

    assert text in caught.value.message


def test_a_taken_port_is_an_error_that_says_how_to_choose_another(taken_port: int) -> None:
    with pytest.raises(Problem, match=f"port {taken_port} .* is taken") as caught:
        require_free(taken_port)

    assert "GRIDLOOM_PORT=" in caught.value.remedy


def test_a_free_port_is_free() -> None:
    assert is_free(free_port())


def test_every_name_gets_a_port_of_its_own() -> None:
    names = [f"part {number}" for number in range(20)]

    chosen = choose_ports(names, {})

    assert sorted(chosen) == sorted(names)
    assert len(set(chosen.values())) == 20


def test_ports_stay_the_same_while_they_are_free(tmp_path: Path, taken_port: int) -> None:
    free = free_port()
    remember_ports(tmp_path / "ports", {"nats": free, "s3": taken_port})

    chosen = choose_ports(["nats", "s3"], remembered_ports(tmp_path / "ports"))

    assert chosen["nats"] == free
    assert chosen["s3"] != taken_port


@pytest.mark.parametrize("content", ["", "{", '{"nats": "x"}'])
def test_a_damaged_memory_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "ports").write_text(content)

    assert remembered_ports(tmp_path / "ports") == {}
