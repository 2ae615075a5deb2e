"""The lock holds what the packages declare, pinned and hashed, and says nothing of where it was made."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-model.lock", "tests/clients/requirements.txt")
PROJECTS = [ROOT / "pyproject.toml", *ROOT.glob("libs/*/pyproject.toml"), *ROOT.glob("services/*/pyproject.toml")]


def declared():
    others = (text for text in sorted(set(texts())) if not text.startswith("gridloom"))
    return [pytest.param(Requirement(text), id=text) for text in others]


def texts():
    for file in PROJECTS:
        project = tomllib.loads(file.read_text())
        groups = [project["project"].get("dependencies", [])]
        groups += project["project"].get("optional-dependencies", {}).values()
        groups += project.get("dependency-groups", {}).values()
        for group in groups:
            yield from group


@pytest.fixture(scope="module")
def pinned():
    lines = re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in lines}


@pytest.mark.parametrize("requirement", declared())
def test_what_a_package_declares_is_locked(requirement, pinned):
    version = pinned.get(canonicalize_name(requirement.name))
    assert version, f"{requirement.name} is not in requirements.lock: run `make lock`"
    assert requirement.specifier.contains(version, prereleases=True), f"locked is {version}: run `make lock`"


@pytest.mark.parametrize("lock", LOCKS)
def test_everything_locked_has_a_hash(lock):
    entries = re.split(r"^(?=\S)", (ROOT / lock).read_text(), flags=re.MULTILINE)
    assert [entry for entry in entries if entry and "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_names_no_place(lock):
    assert re.findall(r"\w+://\S*|^-\S+|(?:^|[\s=])/\S*", (ROOT / lock).read_text(), re.MULTILINE) == []


@pytest.mark.parametrize("lock", LOCKS)
def test_the_packages_of_this_repository_are_not_locked(lock):
    assert "gridloom" not in (ROOT / lock).read_text()
