"""How long a thing may be: what does not fit a screen does two things (STYLE §2, Sizes)."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from house.source import Function, Module

MODULE_LINES = 400
BODY_LINES = 40
WANTED_BODY_LINES = 20
LONG_BODIES_SHARE = 0.1


def module_is_short(module: Module) -> Iterator[str]:
    """A module has at most 400 lines."""
    lines = len(module.text.splitlines())
    if lines > MODULE_LINES:
        yield f"{module.path}: {lines} lines, at most {MODULE_LINES}"


def bodies_are_short(module: Module) -> Iterator[str]:
    """The body of a function has at most 40 lines, its docstring not counted."""
    for function in module.functions():
        if body_lines(function) > BODY_LINES:
            yield f"{module.at(function)}: {function.name} has {body_lines(function)} lines, at most {BODY_LINES}"


def most_bodies_are_shorter(name: str, modules: Iterable[Module]) -> Iterator[str]:
    """Nine in ten functions of a package keep to 20 lines."""
    sizes = [body_lines(function) for module in modules for function in module.functions()]
    long = sum(size > WANTED_BODY_LINES for size in sizes)
    if sizes and long > LONG_BODIES_SHARE * len(sizes):
        yield f"{name}: {long} of {len(sizes)} functions have more than {WANTED_BODY_LINES} lines"


def body_lines(function: Function) -> int:
    """Return the lines from the first statement after the docstring to the last."""
    body = function.body[1:] if _has_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def _has_docstring(function: Function) -> bool:
    return ast.get_docstring(function, clean=False) is not None
