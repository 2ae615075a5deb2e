"""Settings come from the environment, and every mistake is reported at once."""

from __future__ import annotations

import pytest

from gridloom_kit.settings import ServiceSettings, SettingsError, load


class ProbeSettings(ServiceSettings, frozen=True, kw_only=True):
    """Settings with one field of each shape."""

    pepper: str
    port: int = 8080
    ratio: float = 0.5
    is_open: bool = False
    names: tuple[str, ...] = ()


def test_a_value_is_read_by_service_and_field() -> None:
    environ = {"GRIDLOOM_PROBE_PEPPER": "p", "GRIDLOOM_PROBE_PORT": "81", "GRIDLOOM_PROBE_IS_OPEN": "true"}
    settings = load(ProbeSettings, "probe", environ)
    assert (settings.pepper, settings.port, settings.is_open, settings.ratio) == ("p", 81, True, 0.5)


def test_a_list_is_written_with_commas() -> None:
    settings = load(ProbeSettings, "probe", {"GRIDLOOM_PROBE_PEPPER": "p", "GRIDLOOM_PROBE_NAMES": "a, b,"})
    assert settings.names == ("a", "b")


def test_a_number_as_a_name_stays_text() -> None:
    assert load(ProbeSettings, "probe", {"GRIDLOOM_PROBE_PEPPER": "12345"}).pepper == "12345"


def test_all_problems_are_reported_together() -> None:
    environ = {"GRIDLOOM_PROBE_PORT": "many", "GRIDLOOM_PROBE_RATIO": "half", "GRIDLOOM_PROBE_COLOUR": "red"}
    with pytest.raises(SettingsError) as raised:
        load(ProbeSettings, "probe", environ)
    names = [problem.split(" ", 1)[0] for problem in raised.value.problems]
    assert sorted(names) == [
        "GRIDLOOM_PROBE_COLOUR",
        "GRIDLOOM_PROBE_PEPPER",
        "GRIDLOOM_PROBE_PORT",
        "GRIDLOOM_PROBE_RATIO",
    ]


def test_a_problem_never_shows_the_value() -> None:
    with pytest.raises(SettingsError) as raised:
        load(ProbeSettings, "probe", {"GRIDLOOM_PROBE_PEPPER": "x", "GRIDLOOM_PROBE_PORT": "s3cr3t"})
    assert "s3cr3t" not in str(raised.value)


def test_the_settings_of_other_services_are_none_of_its_business() -> None:
    assert load(ProbeSettings, "probe", {"GRIDLOOM_PROBE_PEPPER": "p", "GRIDLOOM_GATEWAY_PORT": "x"}).port == 8080
