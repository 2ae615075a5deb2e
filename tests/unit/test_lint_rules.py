"""Every tool of `make lint` is proven once: it must find a planted violation, by name.

The house rules have their proofs in test_house_rules_proven.py.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from house import places
from house.planted import BANNED_USES, HOUSE_ONLY, RUFF_KNOWS

ROOT = Path(__file__).parents[2]
FUTURE = "from __future__ import annotations\n\n"
GATEWAY = "services/gateway/src/gridloom_gateway/"


def run(folder: Path, tool: str, *arguments: str, python_path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a tool of this environment in `folder`."""
    environment = ["COLUMNS=500", *([f"PYTHONPATH={python_path}"] if python_path else [])]
    command = ["env", *environment, str(Path(sys.executable).parent / tool), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


PLANTED_FOR_RUFF: dict[str, tuple[str, str]] = {
    **{f"ban_{index}": ("TID251", BANNED_USES[name]) for index, name in enumerate(RUFF_KNOWS)},
    "complex": ("C901", "def f(a):\n" + "".join(f"    if a == {n}:\n        return {n}\n" for n in range(9))),
    "arguments": ("PLR0913", "def f(a, b, c, d, e, g): ..."),
    "security": ("S307", "eval(input())"),
    "blocking": ("ASYNC251", "import time\n\n\nasync def f():\n    time.sleep(1)"),
    "bug": ("B006", "def f(a=[]): ..."),
    "blind": ("BLE001", "try:\n    x()\nexcept Exception:\n    y()"),
    "undocumented": ("D103", "def f(): ..."),
    "zone": ("DTZ001", "from datetime import datetime\nx = datetime(2026, 1, 1)"),
    "comment": ("ERA001", "# x = compute(1)"),
    "printing": ("T201", "print(1)"),
    "private": ("SLF001", "x._secret()"),
    "relative": ("TID252", "from ..other import x"),
    "long": ("E501", "x = 1  # " + "word " * 30),
}


@pytest.fixture(scope="module")
def ruff_findings(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    """Return (file, code) of everything ruff finds in a tree of planted violations."""
    root = tmp_path_factory.mktemp("ruff")
    shutil.copy(ROOT / "pyproject.toml", root)
    folder = root / GATEWAY
    folder.mkdir(parents=True)
    for name, (_, text) in PLANTED_FOR_RUFF.items():
        (folder / f"{name}.py").write_text(f'"""Planted."""\n\n{FUTURE}{text}\n')
    (folder / "no_future.py").write_text('"""Planted."""\n\nx = 1\n')
    done = run(root, "ruff", "check", ".", "--no-cache", "--output-format", "json")
    found: list[dict[str, Any]] = msgspec.json.decode(done.stdout)
    return {(Path(finding["filename"]).stem, finding["code"]) for finding in found}


@pytest.mark.parametrize("name", PLANTED_FOR_RUFF)
def test_ruff_finds(name: str, ruff_findings: set[tuple[str, str]]) -> None:
    assert (name, PLANTED_FOR_RUFF[name][0]) in ruff_findings


def test_ruff_asks_for_the_annotations_import(ruff_findings: set[tuple[str, str]]) -> None:
    assert ("no_future", "I002") in ruff_findings


def test_every_ban_of_ruff_has_its_home_in_the_exact_table() -> None:
    configuration = _tools()["ruff"]["lint"]["flake8-tidy-imports"]["banned-api"]
    assert set(configuration) == set(places.HOMES) - HOUSE_ONLY


def test_the_formatter_finds_what_it_would_change(tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text("x = {  'a':1 }\n")
    assert run(tmp_path, "ruff", "format", "--check", "--no-cache", ".").returncode == 1


PLANTED_IMPORTS = {
    "layers": ("gridloom_domain.job", "gridloom_kit.clock"),
    "services": ("gridloom_worker.settings", "gridloom_gateway.settings"),
    "dialects": ("gridloom_gateway.dialects.native.planted", "gridloom_gateway.dialects.other"),
    "gateway": ("gridloom_gateway.store.planted", "gridloom_gateway.dialects.native"),
    "inside-services": ("gridloom_scheduler.rules.planted", "gridloom_scheduler.store"),
    "pure": ("gridloom_contract.subjects", "asyncio"),
    "mongodb": ("gridloom_gateway.limits", "motor"),
    "nats": ("gridloom_scheduler.rules.planted", "nats"),
}


def import_report(root: Path, planted: Iterable[tuple[str, str]]) -> str:
    """Return what import-linter says of small packages with these (importer, imported) in them."""
    shutil.copy(ROOT / "pyproject.toml", root)
    for name in _modules_named_in_contracts():
        _plant(root, name, "")
    _plant(root, "gridloom_kit.mongo", "import bson, motor, nats, pymongo\n")
    for importer, imported in planted:
        _plant(root, imported, "")
        _plant(root, importer, f"import {imported}\n")
    return run(root, "lint-imports", "--no-cache", python_path=root).stdout


@pytest.fixture(scope="module")
def report_on_planted_imports(tmp_path_factory: pytest.TempPathFactory) -> str:
    return import_report(tmp_path_factory.mktemp("imports"), PLANTED_IMPORTS.values())


def _plant(root: Path, name: str, text: str) -> None:
    """Write a module; every package above it comes with it."""
    if not name.startswith("gridloom_"):
        return
    folder = root.joinpath(*name.split("."))
    folder.mkdir(parents=True, exist_ok=True)
    for package in (folder, *folder.relative_to(root).parents):
        (root / package / "__init__.py").touch() if package != Path() else None
    with (folder / "__init__.py").open("a") as module:
        module.write(text)


def _tools() -> dict[str, Any]:
    tools: dict[str, Any] = msgspec.toml.decode((ROOT / "pyproject.toml").read_bytes())["tool"]
    return tools


def _contracts() -> dict[str, dict[str, Any]]:
    return {contract["id"]: contract for contract in _tools()["importlinter"]["contracts"]}


def _modules_named_in_contracts() -> list[str]:
    keys = ("source_modules", "allowed_importers")
    lists = [contract.get(key, []) for contract in _contracts().values() for key in keys]
    named = [name.replace("*", "native") for one in lists for name in one]
    return [*_tools()["importlinter"]["root_packages"], *named]


@pytest.mark.parametrize("contract", PLANTED_IMPORTS)
def test_import_linter_finds(contract: str, report_on_planted_imports: str) -> None:
    importer, imported = PLANTED_IMPORTS[contract]
    assert f"{_contracts()[contract]['name']} BROKEN" in report_on_planted_imports
    assert f"{importer} -> {imported} " in report_on_planted_imports


def test_import_linter_leaves_packages_without_a_wrong_import_alone(tmp_path: Path) -> None:
    report = import_report(tmp_path, planted=())
    assert f"{len(PLANTED_IMPORTS)} kept, 0 broken" in report


def test_every_import_contract_is_proven_here() -> None:
    assert set(_contracts()) == set(PLANTED_IMPORTS)


def test_the_type_checker_finds_what_has_no_type(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "planted.py").write_text("def f(x): return x\n\n\ny: int = 'text'\n")
    said = run(tmp_path, "mypy", "planted.py").stdout
    assert "no-untyped-def" in said
    assert "assignment" in said


def test_deptry_finds_what_is_undeclared_and_what_is_unused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "planted"\nversion = "1"\ndependencies = ["structlog"]\n'
    )
    (tmp_path / "src" / "planted").mkdir(parents=True)
    (tmp_path / "src" / "planted" / "__init__.py").write_text("import msgspec\n")
    said = run(tmp_path, "deptry", "src", "--no-ansi").stderr
    assert "'msgspec' imported but" in said
    assert "'structlog' defined as a dependency but not used" in said
