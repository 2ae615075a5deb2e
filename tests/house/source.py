"""Source files as the rules see them: a path below the project's root, and a syntax tree."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

GENERATED = frozenset({"__pycache__", "build", "dist", "node_modules"})
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One Python file."""

    path: PurePosixPath
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree."""
        return ast.parse(self.text, str(self.path))

    @property
    def is_product(self) -> bool:
        """Whether it belongs to what is shipped."""
        return self.path.parts[0] == "services" or (self.path.parts[0] == "libs" and self.path.parts[1] != "testing")

    def functions(self) -> list[Function]:
        """Return every function and method, also nested ones."""
        return [node for node in ast.walk(self.tree) if isinstance(node, Function)]

    def at(self, node: ast.AST) -> str:
        """Return where a node is, as `path:line`."""
        return f"{self.path}:{getattr(node, 'lineno', 1)}"


def files_below(root: Path) -> Iterator[Path]:
    """Yield every file of the project, without what tools leave behind and without hidden folders other than `.ci`."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if _is_ours(name))
        yield from (Path(folder) / name for name in sorted(names))


def _is_ours(folder: str) -> bool:
    hidden = folder.startswith(".") and folder != ".ci"
    return not hidden and folder not in GENERATED and not folder.endswith(".egg-info")


def modules_below(root: Path) -> list[Module]:
    """Return every Python file of the project."""
    return [module(root, path) for path in files_below(root) if path.suffix == ".py"]


def module(root: Path, path: Path) -> Module:
    """Return one Python file of the project at `root`; one that is not there is empty."""
    return Module(PurePosixPath(path.relative_to(root).as_posix()), text_of(path))


def text_of(path: Path) -> str:
    """Return the text of a file, or nothing if there is no such file."""
    return path.read_text("utf-8", errors="replace") if path.is_file() else ""


def constants_in(tree: ast.AST) -> Iterator[ast.Constant]:
    """Yield the constants of a tree that are not docstrings."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docstrings)


def dotted(node: ast.AST) -> str:
    """Return `a.b().c` for the expression that is spelled so, or an empty string for any other."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Call):
        return f"{dotted(node.func)}()" if dotted(node.func) else ""
    if isinstance(node, ast.Attribute) and dotted(node.value):
        return f"{dotted(node.value)}.{node.attr}"
    return ""
