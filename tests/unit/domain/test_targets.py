"""A URL that cannot be meant is refused when the job is submitted (OPS §4.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom_contract.fault import FaultCode
from gridloom_domain.addresses import networks
from gridloom_domain.errors import Invalid
from gridloom_domain.targets import MOST_CHARACTERS, TargetRules, check_target, problem_with

GOOD = (
    *(
        "https://example.org",
        "https://example.org/hooks?a=b&c=%20d#e",
        "https://EXAMPLE.org:443/",
        "https://a.b.example.co",
    ),
    *(
        "https://example.org:8443/x",
        "https://example.org:80/",
        "https://bücher.example/hook",
        "https://xn--bcher-kva.example",
    ),
    *(
        "https://8.8.8.8/",
        "https://[2606:4700:4700::1111]/",
        "https://under_score.example.org/",
        "https://1password.com/x",
    ),
)
BAD = {
    "http://example.org/": "starts with https",
    "ftp://example.org/": "starts with https",
    "example.org": "starts with https",
    "": "starts with https",
    "https://": "names a host",
    "https:///path": "names a host",
    "https://user:pw@example.org/": "user name",
    "https://user@example.org/": "user name",
    "https://@example.org/": "user name",
    "https://example.org@127.0.0.1/": "user name",
    "https://example.org:8080/": "port 8080",
    "https://example.org:0/": "port",
    "https://example.org:99999/": "not a URL",
    "https://example.org:x/": "not a URL",
    "https://localhost/": "no complete host name",
    "https://intranet/": "no complete host name",
    "https://example.org./": "not a host name",
    "https://example..org/": "not a host name",
    "https://printer.local/": "not public",
    "https://db.internal/": "not public",
    "https://nats.default.svc/": "not public",
    "https://nats.default.svc.cluster.local/": "not public",
    "https://www.localhost/": "not public",
    "https://127.0.0.1/": "this machine",
    "https://169.254.169.254/latest/meta-data": "link-local",
    "https://[::1]/": "this machine",
    "https://[::ffff:127.0.0.1]/": "this machine",
    "https://[fe80::1%25lo]/": "link-local",
    "https://[64:ff9b::7f00:1]/": "NAT64",
    "https://0x7f.1/": "ends in a number",
    "https://127.1/": "ends in a number",
    "https://2130706433/": "ends in a number",
    "https://0177.0.0.1/": "ends in a number",
    "https://0/": "ends in a number",
    "https://0x7f000001/": "ends in a number",
    "https://example.0x7f/": "ends in a number",
    "https://１２７.0.0.1/": "this machine",
    "https://①②⑦.0.0.1/": "this machine",
    "https://loc%61lhost/": "not a host name",
    "https://exa mple.org/": "blanks",
    "https://example.org/\r\nX: y": "blanks",
    "https://example.org\\@127.0.0.1/": "backslashes",
    "https://-example.org/": "not a host name",
    "https://" + "a" * 64 + ".org/": "not a host name",
    "https://example.org/" + "a" * MOST_CHARACTERS: "at most 2048 characters",
    "https://[::1/": "not a URL",
}


@pytest.mark.parametrize("url", GOOD)
def test_an_ordinary_url_may_be_called(url: str) -> None:
    assert problem_with(url) is None


@pytest.mark.parametrize("url", BAD)
def test_any_other_may_not_and_the_sentence_says_why(url: str) -> None:
    problem = problem_with(url)
    assert problem
    assert BAD[url] in problem


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8123/x", "http://localhost:80/", "https://[::1]:1/", "http://receiver/"]
)
def test_tests_and_the_demo_may_call_this_machine(url: str) -> None:
    assert problem_with(url, TargetRules(allow_private=True)) is None


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/", "gopher://localhost/", "http://a@localhost/", "http://[ff02::1]/"]
)
def test_even_they_may_not_call_everything(url: str) -> None:
    assert problem_with(url, TargetRules(allow_private=True))


def test_the_grid_itself_may_not_be_called() -> None:
    rules = TargetRules(own_hosts=frozenset({"grid.example.org"}))
    assert problem_with("https://Grid.example.org/api", rules) == "grid.example.org is the grid itself"


def test_networks_that_the_operator_denies_may_not_be_called() -> None:
    rules = TargetRules(denied=networks(["8.8.8.0/24"]))
    assert problem_with("https://8.8.8.8/", rules) == "8.8.8.8 is denied by the operator"


def test_a_refusal_names_the_field() -> None:
    with pytest.raises(Invalid) as raised:
        check_target("nonsense")
    assert (raised.value.fault.code, raised.value.fault.field) == (FaultCode.INVALID, "webhook_url")


@given(st.text())
def test_whatever_is_given_is_answered(text: str) -> None:
    problem_with("https://" + text)
    problem_with(text)
