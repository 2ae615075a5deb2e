"""The shape of a service: know one, know all (STYLE §1)."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from house.source import Module

REQUIRED = ("pyproject.toml", "README.md")
REQUIRED_MODULES = ("__init__.py", "__main__.py", "service.py", "settings.py", "py.typed")
DIALECT_PARTS = ("wire", "translate", "routes")


def service_has_its_files(service: str, files: Collection[str]) -> Iterator[str]:
    """A service (`files` are paths below its folder) has the files that every service has."""
    package = f"src/gridloom_{service}"
    wanted = [*REQUIRED, *(f"{package}/{name}" for name in REQUIRED_MODULES)]
    yield from (f"services/{service}: {name} is missing" for name in wanted if name not in files)


def dialect_has_its_files(dialect: str, files: Collection[str]) -> Iterator[str]:
    """A dialect (`files` are paths below its folder) is wire, translate and routes, each a module or a folder."""
    for part in DIALECT_PARTS:
        if f"{part}.py" not in files and f"{part}/__init__.py" not in files:
            yield f"dialects/{dialect}: {part} is missing"


def main_is_short(module: Module) -> Iterator[str]:
    """`__main__` starts the service and does nothing else."""
    if module.path.name == "__main__.py" and module.path.parts[0] == "services":
        classes = [node for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)]
        loops = [node for node in ast.walk(module.tree) if isinstance(node, ast.For | ast.While | ast.AsyncFor)]
        yield from (f"{module.at(node)}: __main__ only starts the service" for node in [*classes, *loops])


def service_is_linted(service: str, contracts: Collection[Mapping[str, Any]]) -> Iterator[str]:
    """The import contracts list services by name: a new one stands among the layers and among those that never meet."""
    package = f"gridloom_{service}"
    for contract in contracts:
        named = " ".join(contract.get("layers", ())) + " " + " ".join(contract.get("modules", ()))
        if contract["id"] in {"layers", "services"} and package not in re.split(r"[\s|]+", named):
            yield f"pyproject.toml: {package} is missing in the import contract {contract['id']!r}"


def settings_of(settings: Module, shared: Module) -> list[str]:
    """Return the names of a service's settings: its own `Settings` and those that all services share."""
    return _fields(shared, "ServiceSettings") + _fields(settings, "Settings")


def settings_are_explained(service: str, names: Collection[str], readme: str) -> Iterator[str]:
    """Each setting stands in the README of its service by the name of its environment variable."""
    variables = [f"GRIDLOOM_{service}_{name}".upper() for name in names]
    yield from (f"services/{service}/README.md: {name} is missing" for name in variables if name not in readme)


def channels_are_complete(channels: Mapping[str, tuple[bool, bool]], examples: Collection[str]) -> Iterator[str]:
    """Every message, by tag with whether somebody sends and somebody hears it, has both and a golden example."""
    for tag, (is_sent, is_heard) in channels.items():
        if not is_sent:
            yield f"{tag}: nobody sends it"
        if not is_heard:
            yield f"{tag}: nobody hears it"
        if tag not in examples:
            yield f"{tag}: no proto-schemas/examples/{tag}.json"


def _fields(module: Module, name: str) -> list[str]:
    classes = [node for node in module.tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    statements = [statement for found in classes for statement in found.body]
    return [
        statement.target.id
        for statement in statements
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    ]
