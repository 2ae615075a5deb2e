"""Every house rule is proven once: a planted violation must be found, and what keeps the rule left alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

import pytest

from house import files, names, places, shape, sizes
from house.planted import BANNED_USES
from house.source import Module

GATEWAY = "services/gateway/src/gridloom_gateway/"


def a_module(text: str, path: str = f"{GATEWAY}planted.py") -> Module:
    return Module(PurePosixPath(path), text)


A_LONG_BODY = "def work():\n" + "    step()\n" * 41
FORTY_LINES = "def work():\n" + '    """Promise."""\n' + "    step()\n" * 40


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (sizes.module_is_short, "x = 1\n" * 401),
        (sizes.bodies_are_short, A_LONG_BODY),
        (names.subjects_are_built_in_one_file, "subject = f'job.{verb}'"),
        (names.subjects_are_built_in_one_file, "subject = f'work.{lane}.{model}.x'"),
        (names.subjects_are_built_in_one_file, "await bus.subscribe('event.*.*')"),
        (names.subjects_are_built_in_one_file, "subject = f'$JS.API.INFO.{stream}'"),
        (names.subjects_are_built_in_one_file, "inbox = '_INBOX.gateway.1'"),
        (names.collections_are_named_by_the_registry, "jobs = database['jobs']"),
        (names.collections_are_named_by_the_registry, "jobs = self._database.workers"),
        (names.collections_are_named_by_the_registry, "jobs = client.get_collection('api_keys')"),
        (names.only_the_chassis_acknowledges, "await message.ack()"),
        (names.only_the_chassis_acknowledges, "await message.nak(delay=1)"),
        (names.only_the_chassis_acknowledges, "await bus.publish(reply, b'+TERM')"),
        (names.only_the_chassis_acknowledges, "await bus.publish(f'$JS.ACK.{stream}.x', b'')"),
        (names.names_say_something, "class JobManager: ..."),
        (names.names_say_something, "class HTTPHelper: ..."),
    ],
)
def test_a_house_rule_finds_what_breaks_it(rule: Callable[[Module], Iterator[str]], text: str) -> None:
    assert list(rule(a_module(text)))


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (sizes.module_is_short, "x = 1\n" * 400),
        (sizes.bodies_are_short, FORTY_LINES),
        (names.subjects_are_built_in_one_file, "log.info('job.assigned', worker=worker)"),
        (names.subjects_are_built_in_one_file, "file = f'{name}.json'; url = f'http://{host}.example.org/x'"),
        (names.subjects_are_built_in_one_file, "text = f'live. {word} event.'"),
        (names.collections_are_named_by_the_registry, "jobs = body['jobs']; database[JOBS]"),
        (names.only_the_chassis_acknowledges, "acked = receipt.acknowledged"),
        (names.names_say_something, "class Utility: ...\nclass CommonsPage: ..."),
    ],
)
def test_a_house_rule_leaves_alone_what_keeps_it(rule: Callable[[Module], Iterator[str]], text: str) -> None:
    assert list(rule(a_module(text))) == []


def test_a_module_that_says_nothing_by_its_name_is_found() -> None:
    assert list(names.names_say_something(a_module("", f"{GATEWAY}utils.py")))
    assert list(names.names_say_something(a_module("", f"{GATEWAY}common/x.py")))


def test_a_main_that_does_more_than_start_is_found() -> None:
    assert list(shape.main_is_short(a_module("class Server: ...", f"{GATEWAY}__main__.py")))
    assert list(shape.main_is_short(a_module("run(build, Settings)", f"{GATEWAY}__main__.py"))) == []


def test_a_package_of_long_functions_is_found() -> None:
    long, short = "def a():\n" + "    x()\n" * 21, "def b():\n    x()\n"
    assert list(sizes.most_bodies_are_shorter("kit", [a_module(long + short * 8)]))
    assert list(sizes.most_bodies_are_shorter("kit", [a_module(long + short * 9)])) == []


@pytest.mark.parametrize("banned", sorted(places.HOMES))
def test_a_ban_is_found_wherever_it_is_not_at_home(banned: str) -> None:
    found = list(places.everything_is_used_at_home(a_module(BANNED_USES[banned])))
    assert any(f" {banned} is not used here" in finding for finding in found)


@pytest.mark.parametrize("banned", sorted(name for name, homes in places.HOMES.items() if homes))
def test_a_ban_leaves_its_home_alone(banned: str) -> None:
    home = places.HOMES[banned][0].replace("*", "x")
    assert list(places.everything_is_used_at_home(a_module(BANNED_USES[banned], home))) == []


@pytest.mark.parametrize(
    "text", ["time.time()", "import time\ntime.monotonic()", "import jsonschema", "from .nats import x"]
)
def test_what_only_looks_like_a_ban_is_left_alone(text: str) -> None:
    assert list(places.everything_is_used_at_home(a_module(text))) == []


COMPLETE = {"pyproject.toml", "README.md"} | {f"src/gridloom_quota/{name}" for name in shape.REQUIRED_MODULES}


@pytest.mark.parametrize("missing", sorted(COMPLETE))
def test_a_service_without_a_file_that_all_services_have_is_found(missing: str) -> None:
    assert list(shape.service_has_its_files("quota", COMPLETE)) == []
    assert list(shape.service_has_its_files("quota", COMPLETE - {missing}))


def test_a_service_that_the_import_contracts_do_not_list_is_found() -> None:
    layers = {"id": "layers", "layers": ["gridloom_local", "gridloom_gateway | gridloom_quota"]}
    apart = {"id": "services", "modules": ["gridloom_gateway"]}
    assert list(shape.service_is_linted("gateway", [layers, apart])) == []
    assert len(list(shape.service_is_linted("quota", [layers, apart]))) == 1
    assert len(list(shape.service_is_linted("quot", [layers, apart]))) == 2


def test_a_dialect_without_one_of_its_three_parts_is_found() -> None:
    assert list(shape.dialect_has_its_files("openai", {"wire/__init__.py", "translate.py", "routes.py"})) == []
    assert list(shape.dialect_has_its_files("openai", {"wire/chat.py", "translate.py", "routes.py"}))


def test_a_setting_that_no_readme_explains_is_found() -> None:
    shared = a_module("class ServiceSettings(Struct):\n    nats_url: str = ''\n")
    own = a_module("class Settings(ServiceSettings):\n    port: int = 80\n")
    settings = shape.settings_of(own, shared)
    assert (
        list(shape.settings_are_explained("quota", settings, "`GRIDLOOM_QUOTA_NATS_URL` and `GRIDLOOM_QUOTA_PORT`"))
        == []
    )
    assert list(shape.settings_are_explained("quota", settings, "`GRIDLOOM_QUOTA_NATS_URL`"))


@pytest.mark.parametrize(
    ("is_sent", "is_heard", "examples"), [(False, True, {"a.1"}), (True, False, {"a.1"}), (True, True, set())]
)
def test_a_message_without_sender_hearer_or_example_is_found(is_sent: bool, is_heard: bool, examples: set[str]) -> None:
    assert list(shape.channels_are_complete({"a.1": (True, True)}, {"a.1"})) == []
    assert list(shape.channels_are_complete({"a.1": (is_sent, is_heard)}, examples))


@pytest.mark.parametrize(
    "line",
    [
        "/".join(("", "home", "somebody", "gridloom")),
        "cd " + "/".join(("", "work", "main")),
        "--index" + "-url https://packages.example.org/simple",
        'registry = "' + 'https://npm.example.org/"',
    ],
)
def test_a_trace_of_one_machine_is_found(line: str) -> None:
    assert list(files.text_has_no_trace("README.md", f"first\n{line}\n"))


@pytest.mark.parametrize(
    "line", ["/api/v1/jobs", "https://example.org/home/page", "libs/network/x.py", "a registry of channels"]
)
def test_an_ordinary_path_is_no_trace(line: str) -> None:
    assert list(files.text_has_no_trace("README.md", line)) == []


def test_a_file_that_does_not_belong_here_is_found() -> None:
    assert list(files.name_is_welcome("services/uv.lock"))
    assert list(files.name_is_welcome("requirements.lock")) == []


def test_a_banner_is_found() -> None:
    assert list(files.text_has_no_banner("x.py", "x = 1\n# " + "-" * 30 + "\n"))
    assert list(files.text_has_no_banner("x.py", "# plain words - with a dash\n")) == []
