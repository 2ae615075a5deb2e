"""A stack's folder: where it lies, that it is private, and that two commands do not hold it at once."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from gridloom_local.home import Home, locate_home
from gridloom_local.problems import Problem


def test_the_home_is_below_the_current_folder_unless_told_otherwise(tmp_path: Path) -> None:
    assert locate_home({}).folder == Path.cwd() / ".gridloom"
    assert locate_home({"GRIDLOOM_HOME": str(tmp_path)}).folder == tmp_path


def test_a_relative_home_becomes_absolute() -> None:
    assert locate_home({"GRIDLOOM_HOME": "here"}).folder == Path.cwd() / "here"


def test_folders_are_made_for_their_owner_only(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")

    home.prepare()

    assert stat.S_IMODE(home.folder.stat().st_mode) == 0o700


def test_the_socket_lies_in_a_home_that_is_not_deep() -> None:
    assert Home(Path("/grid")).socket == Path("/grid/supervisor.sock")


def test_a_deep_home_has_its_socket_on_a_short_path_of_its_own(tmp_path: Path) -> None:
    deep, other = Home(tmp_path / ("d" * 120)), Home(tmp_path / ("e" * 120))

    assert len(os.fsencode(deep.socket)) < 100
    assert deep.socket != other.socket


def test_a_socket_folder_that_others_may_write_is_refused(tmp_path: Path) -> None:
    home = Home(tmp_path / ("d" * 120))
    home.prepare()
    home.socket.parent.chmod(0o777)

    with pytest.raises(Problem, match="other users"):
        home.prepare()
    home.socket.parent.rmdir()


def test_a_home_is_held_by_one_command_at_a_time(tmp_path: Path) -> None:
    home = Home(tmp_path)

    with home.held(), pytest.raises(Problem, match="another gridloom command"), home.held():
        pass

    with home.held():
        pass
