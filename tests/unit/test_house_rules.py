"""The house rules hold everywhere. What each rule means is its docstring in tests/house."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

import msgspec
import pytest

from gridloom_contract import registry
from gridloom_contract.base import Message, tag_of
from house import files, names, places, shape, sizes
from house.source import Module, files_below, module, modules_below, text_of

ROOT = Path(__file__).parents[2]
MODULES = modules_below(ROOT)
SERVICES = sorted(folder.name for folder in (ROOT / "services").iterdir() if folder.is_dir())
DIALECTS = sorted(
    folder for folder in (ROOT / "services/gateway/src/gridloom_gateway/dialects").glob("[!_.]*") if folder.is_dir()
)
TEXT_SUFFIXES = frozenset({".cfg", ".json", ".lock", ".md", ".py", ".sh", ".toml", ".txt", ".yaml", ".yml", ""})

MODULE_RULES: tuple[Callable[[Module], Iterator[str]], ...] = (
    sizes.module_is_short,
    sizes.bodies_are_short,
    names.subjects_are_built_in_one_file,
    names.collections_are_named_by_the_registry,
    names.only_the_chassis_acknowledges,
    names.names_say_something,
    places.everything_is_used_at_home,
    shape.main_is_short,
)
FILE_RULES = (files.text_has_no_trace, files.text_has_no_banner)

every_service = pytest.mark.parametrize("service", SERVICES)


def expect_none(findings: Iterable[str]) -> None:
    """Fail with one line per finding."""
    lines = list(findings)
    assert not lines, "\n".join(["", *lines])


def names_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in files_below(folder)}


@pytest.mark.parametrize("rule", MODULE_RULES, ids=lambda rule: rule.__name__)
def test_every_module_keeps(rule: Callable[[Module], Iterator[str]]) -> None:
    expect_none(chain.from_iterable(map(rule, MODULES)))


@pytest.mark.parametrize("rule", FILE_RULES, ids=lambda rule: rule.__name__)
def test_every_file_keeps(rule: Callable[[str, str], Iterator[str]]) -> None:
    found = []
    for path in files_below(ROOT):
        if path.suffix in TEXT_SUFFIXES:
            found += rule(path.relative_to(ROOT).as_posix(), text_of(path))
    expect_none(found)


def test_every_file_has_a_name_that_is_welcome() -> None:
    found = [files.name_is_welcome(path.relative_to(ROOT).as_posix()) for path in files_below(ROOT)]
    expect_none(chain.from_iterable(found))


def test_nine_in_ten_functions_of_a_package_are_short() -> None:
    packages: dict[str, list[Module]] = defaultdict(list)
    for found in MODULES:
        if found.is_product:
            packages["/".join(found.path.parts[:2])].append(found)
    expect_none(chain.from_iterable(sizes.most_bodies_are_shorter(*item) for item in packages.items()))


@every_service
def test_a_service_has_the_shape_of_all_services(service: str) -> None:
    expect_none(shape.service_has_its_files(service, names_below(ROOT / "services" / service)))


@every_service
def test_a_service_stands_in_the_import_contracts(service: str) -> None:
    configuration = msgspec.toml.decode((ROOT / "pyproject.toml").read_bytes())
    expect_none(shape.service_is_linted(service, configuration["tool"]["importlinter"]["contracts"]))


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda folder: folder.name)
def test_a_dialect_has_the_shape_of_all_dialects(dialect: Path) -> None:
    expect_none(shape.dialect_has_its_files(dialect.name, names_below(dialect)))


@every_service
def test_every_setting_of_a_service_is_explained_in_its_readme(service: str) -> None:
    folder = ROOT / "services" / service
    own = module(ROOT, folder / "src" / f"gridloom_{service}" / "settings.py")
    shared = module(ROOT, ROOT / "libs/kit/src/gridloom_kit/settings.py")
    readme = text_of(folder / "README.md")
    expect_none(shape.settings_are_explained(service, shape.settings_of(own, shared), readme))


def test_every_message_is_sent_and_heard_and_has_a_golden_example() -> None:
    traffic: dict[str, tuple[bool, bool]] = {}
    for channel in registry.CHANNELS:
        _note(traffic, channel.message, bool(channel.senders), bool(channel.hearers or channel.consumers))
        if channel.reply is not None:
            _note(traffic, channel.reply, bool(channel.hearers), bool(channel.senders))
    examples = {path.stem for path in (ROOT / "proto-schemas" / "examples").iterdir()}
    expect_none(shape.channels_are_complete(traffic, examples))


def _note(traffic: dict[str, tuple[bool, bool]], message: type[Message], is_sent: bool, is_heard: bool) -> None:
    """Tokens are sent on one channel and heard on another: what counts is the message."""
    before = traffic.get(tag_of(message), (False, False))
    traffic[tag_of(message)] = (before[0] or is_sent, before[1] or is_heard)
