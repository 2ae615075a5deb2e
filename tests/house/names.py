"""Names that are spelled in one place: subjects, collections, acknowledgements; and words that say nothing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from gridloom_contract.registry import CHANNELS, COLLECTIONS
from house.source import Module, constants_in, dotted

SUBJECTS_SPELLED_IN = ("libs/contract/src/gridloom_contract/",)
SERVER_SUBJECTS_SPELLED_IN = (*SUBJECTS_SPELLED_IN, "libs/kit/src/gridloom_kit/", "libs/local/", "libs/testing/")
ACKS_IN = "libs/kit/src/gridloom_kit/consume.py"
ACK_RIGHTS_IN = "libs/contract/src/gridloom_contract/permissions.py"

EMPTY_WORDS = frozenset({"manager", "helper", "helpers", "util", "utils", "processor", "impl", "common", "misc"})

_OURS = frozenset(channel.subject.split(".")[0] for channel in CHANNELS)
_ONLY_SUBJECTS = frozenset({"wrk", "work", "ctl", "tok", "live", "event"})
_SERVERS = frozenset({"$JS", "$KV", "$SYS", "_INBOX"})
_SUBJECT = re.compile(r"[^\s./:@\\]*(\.[^\s./:@\\]+)+\.?")
_ACK_CALLS = frozenset({"ack", "ack_sync", "nak", "term", "in_progress"})
_ACK_WORDS = ("+ACK", "-NAK", "+TERM", "+WPI", "+NXT", "$JS.ACK")
_COLLECTIONS = frozenset(name for names in COLLECTIONS.values() for name in names)
_WORDS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")


def subjects_are_built_in_one_file(module: Module) -> Iterator[str]:
    """No f-string builds a subject outside the contract, and none of the server's own outside the chassis.

    Tests spell them out: they say what must arrive, not how it is built.
    """
    if module.path.parts[0] == "tests":
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.JoinedStr):
            yield from _foreign_subject(module, node, _outline(node), _OURS)
    for constant in constants_in(module.tree):
        if isinstance(constant.value, str):
            yield from _foreign_subject(module, constant, constant.value, _ONLY_SUBJECTS)


def _foreign_subject(module: Module, node: ast.AST, text: str, ours: frozenset[str]) -> Iterator[str]:
    root = text.split(".", maxsplit=1)[0]
    if not _SUBJECT.fullmatch(text):
        return
    if root in ours and not str(module.path).startswith(SUBJECTS_SPELLED_IN):
        yield f"{module.at(node)}: the subject {text!r} is not from gridloom_contract.subjects"
    if root in _SERVERS and not str(module.path).startswith(SERVER_SUBJECTS_SPELLED_IN):
        yield f"{module.at(node)}: {text!r} belongs to the server; only the chassis speaks to it"


def _outline(node: ast.JoinedStr) -> str:
    """Return the text of an f-string with `{}` for what is put in."""
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)


def collections_are_named_by_the_registry(module: Module) -> Iterator[str]:
    """A collection is reached by a name from the registry, never by a word spelled again."""
    if not module.is_product:
        return
    for node in ast.walk(module.tree):
        name = _spelled_collection(node)
        if name in _COLLECTIONS:
            yield f"{module.at(node)}: the collection {name!r} is spelled in gridloom_contract.registry"


def _spelled_collection(node: ast.AST) -> object:
    """Return the name if the node is `database["name"]`, `database.name` or `get_collection("name")`."""
    if isinstance(node, ast.Subscript) and _is_database(node.value) and isinstance(node.slice, ast.Constant):
        return node.slice.value
    if isinstance(node, ast.Attribute) and _is_database(node.value):
        return node.attr
    if isinstance(node, ast.Call) and dotted(node.func).endswith("get_collection") and node.args:
        return getattr(node.args[0], "value", None)
    return None


def _is_database(node: ast.AST) -> bool:
    return dotted(node).rsplit(".", 1)[-1].lstrip("_") in {"database", "db"}


def only_the_chassis_acknowledges(module: Module) -> Iterator[str]:
    """There is one place that acknowledges, naks or terminates: kit/consume.py."""
    if not module.is_product or str(module.path) in {ACKS_IN, ACK_RIGHTS_IN}:
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _ACK_CALLS:
            yield f"{module.at(node)}: .{node.func.attr}() outside {ACKS_IN}"
    for constant in constants_in(module.tree):
        text = constant.value.decode("latin-1") if isinstance(constant.value, bytes) else constant.value
        if isinstance(text, str) and text.startswith(_ACK_WORDS):
            yield f"{module.at(constant)}: {text!r} outside {ACKS_IN}"


def names_say_something(module: Module) -> Iterator[str]:
    """No module and no class is called manager, helper, util, processor, impl or common."""
    named: list[tuple[str, str]] = [(str(module.path), part) for part in module.path.with_suffix("").parts]
    named += [(module.at(node), node.name) for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)]
    for where, name in named:
        empty = {word.lower() for word in _WORDS.findall(name)} & EMPTY_WORDS
        if empty:
            yield f"{where}: {name} says nothing by {', '.join(sorted(empty))!r}"
