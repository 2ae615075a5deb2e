"""What is forked where its imports end lives and dies as what was started from its command line."""

from __future__ import annotations

import signal
import subprocess
import sys

import psutil
import pytest

from gridloom_local.servers import Server
from gridloom_testing import nursery

PARENT = """
import pathlib, sys
from gridloom_local.servers import Server
from gridloom_testing import nursery
folder = pathlib.Path(sys.argv[1])
command = (sys.executable, "-m", "http.server", "0")
child = nursery.start(Server("one", command, folder, folder / "log", 0, {}, bool))
print(child.pid, flush=True)
sys.stdin.read()
"""


def a_server(folder, *module, **environment):
    """Return a server that is a module of Python."""
    return Server(
        name="one",
        argv=(sys.executable, "-m", *module),
        directory=folder,
        log=folder / "log",
        port=0,
        environment=environment,
        is_ready=bool,
    )


@pytest.mark.parametrize("environment", [{}, {"GRIDLOOM_QUOTA_NATS_URL": "nats://127.0.0.1:1", "PATH": "/nowhere"}])
def test_a_service_ends_as_it_does_by_itself_and_says_the_same(tmp_path, environment):
    server = a_server(tmp_path, "gridloom_quota", **environment)
    alone = subprocess.run(server.argv, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    child = nursery.start(server)
    assert (child.wait(20), server.log.read_text()) == (alone.returncode, alone.stderr)
    assert alone.returncode


def test_a_child_is_frozen_continued_and_killed(tmp_path):
    child = nursery.start(a_server(tmp_path, "http.server", "0", PYTHONUNBUFFERED="1"))
    process = psutil.Process(child.pid)
    child.suspend()
    assert process.status() == psutil.STATUS_STOPPED
    child.resume()
    assert child.is_alive
    child.kill()
    assert child.returncode == -signal.SIGKILL
    assert not process.is_running()


def test_a_child_has_nothing_of_the_environment_of_the_test(tmp_path, monkeypatch):
    monkeypatch.setenv("GRIDLOOM_QUOTA_LOG_LEVEL", "nonsense")
    child = nursery.start(a_server(tmp_path, "gridloom_quota"))
    assert child.wait(20)
    assert "nonsense" not in child.server.log.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_child_ends_with_the_test_even_if_that_is_killed(tmp_path):
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
        parent.send_signal(signal.SIGKILL)
    psutil.wait_procs([child], timeout=5)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
