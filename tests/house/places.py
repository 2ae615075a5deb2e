"""Where a library or a call that is banned elsewhere is at home: ruff's ban knows only whole files, this is exact."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatch

from house.source import Module, dotted

_KIT = "libs/kit/src/gridloom_kit/"
_LIVE_TESTS = ("libs/testing/*", "tests/integration/*", "tests/e2e/*", "tests/chaos/*", "tests/bench/*")
_STORES = ("services/*/store.py", "services/*/store/*.py", f"{_KIT}mongo.py", "libs/local/*")
_S3 = (f"{_KIT}objects.py", "services/*/bucket.py", "libs/local/*")
_CLOCK = (f"{_KIT}clock.py", *_LIVE_TESTS)
_ENVIRONMENT = (f"{_KIT}run.py", "services/*/__main__.py", "libs/local/*", *_LIVE_TESTS)

HOMES: dict[str, tuple[str, ...]] = {
    "aioboto3": (*_S3, *_LIVE_TESTS),
    "botocore": (*_S3, *_LIVE_TESTS),
    "motor": (*_STORES, *_LIVE_TESTS),
    "pymongo": (*_STORES, *_LIVE_TESTS),
    "bson": (*_STORES, *_LIVE_TESTS),
    "nats": (f"{_KIT}*", "libs/local/*", *_LIVE_TESTS),
    "os.environ": _ENVIRONMENT,
    "os.getenv": _ENVIRONMENT,
    "asyncio.create_task": (),
    "asyncio.ensure_future": (f"{_KIT}finish.py",),
    "asyncio.get_running_loop().create_task": ("libs/testing/*",),
    "asyncio.get_event_loop().create_task": (),
    "datetime.datetime.now": _CLOCK,
    "datetime.datetime.today": (),
    "datetime.datetime.utcnow": (),
    "datetime.date.today": (),
    "time.time": _CLOCK,
    # A benchmark measures from outside, with none of our code in its way.
    "uuid.uuid4": ("tests/bench/*",),
    # The worker's engine reads what strict decoders refuse, such as half an emoji. Foreign clients know no msgspec.
    "json": ("services/worker/src/gridloom_worker/engines/openai_wire.py", "tests/bench/*", "tests/clients/*"),
    "unittest.mock": (),
}


def everything_is_used_at_home(module: Module) -> Iterator[str]:
    """A banned library or call appears only where the table says."""
    for name, node in uses_in(module):
        for banned, homes in HOMES.items():
            if _is_or_is_in(name, banned) and not any(fnmatch(str(module.path), home) for home in homes):
                yield f"{module.at(node)}: {banned} is not used here"


def uses_in(module: Module) -> Iterator[tuple[str, ast.AST]]:
    """Yield everything imported, and every dotted expression with its first name replaced by what was imported."""
    known: dict[str, str] = {}
    for node in ast.walk(module.tree):
        for name, full in _imported(node):
            known[name] = full
            yield full, node
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute):
            first, _, rest = dotted(node).partition(".")
            if first in known:
                yield f"{known[first]}.{rest}", node


def _imported(node: ast.AST) -> list[tuple[str, str]]:
    if isinstance(node, ast.Import):
        return [(alias.asname or alias.name.split(".")[0], _bound(alias)) for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [(alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names]
    return []


def _bound(alias: ast.alias) -> str:
    """`import a.b` binds `a`, `import a.b as c` binds `a.b`."""
    return alias.name if alias.asname else alias.name.split(".")[0]


def _is_or_is_in(name: str, banned: str) -> bool:
    return name == banned or name.startswith(f"{banned}.")
