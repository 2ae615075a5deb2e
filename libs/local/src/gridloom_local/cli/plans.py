"""`gridloom plans` and `gridloom quota`: what accounts may use, how they stand, and the proof that no token is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from gridloom_local.cli.running import ask_as_admin
from gridloom_local.client import Client
from gridloom_local.proofs import tell_proof
from gridloom_local.tables import moment, print_fields, print_json, print_rows, print_table
from gridloom_local.usage_report import quota_rows

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

_PLANS: Final = "/admin/v1/plans"
_PROOF_SECONDS: Final = 330.0
"""A little longer than the gateway waits for a proof."""
_COLUMNS: Final = {
    "plan": "name",
    "tokens a day": "daily_tokens",
    "a week": "weekly_tokens",
    "a month": "monthly_tokens",
    "priority": "priority_boost",
    "waiting": "max_waiting_jobs",
    "parallel": "max_parallel_jobs",
    "rates": "rates",
}
_WITHOUT_LIMIT: Final = "none"


class Limit(click.ParamType):  # type: ignore[type-arg]
    """A number, or `none`."""

    name = "N|none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number, or `none`."""
        if value == _WITHOUT_LIMIT or isinstance(value, int):
            return value
        return click.INT.convert(value, param, ctx)


class Rate(click.ParamType):  # type: ignore[type-arg]
    """A group of routes and how many calls a minute a key may make there, or `none`."""

    name = "GROUP=PER_MINUTE|none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the rule as the API has it, or `none`."""
        if value == _WITHOUT_LIMIT or not isinstance(value, str):
            return value
        group, found, per_minute = value.partition("=")
        if not found or not per_minute.isdecimal():
            self.fail(f"{value!r} is not like native=600", param, ctx)
        return {"group": group, "per_minute": int(per_minute)}


_TERMS: Final = (
    click.option("--daily", "daily_tokens", type=Limit(), help="Tokens a day, UTC."),
    click.option("--weekly", "weekly_tokens", type=Limit(), help="Tokens a week, from Monday."),
    click.option("--monthly", "monthly_tokens", type=Limit(), help="Tokens a month."),
    click.option("--priority", "priority_boost", type=int, help="The priority of jobs that name none."),
    click.option("--max-waiting", "max_waiting_jobs", type=Limit(), help="Jobs that may wait; more are refused."),
    click.option("--max-parallel", "max_parallel_jobs", type=Limit(), help="Jobs that workers may have at once."),
    click.option("--max-blob-bytes", type=Limit(), help="Size of all files of an account."),
    click.option("--retention-days", type=Limit(), help="How long inputs and outputs are kept."),
    click.option("--rate", "rates", type=Rate(), multiple=True, help="Calls a minute of a key in a group of routes."),
)


def terms_options(command: F) -> F:
    """Give a command the options that make up a plan."""
    for option in reversed(_TERMS):
        command = option(command)
    return command


@click.group()
def plans() -> None:
    """What accounts may use. An account without a plan of its own is on the one called default."""


@plans.command("list")
@json_option
def list_plans(as_json: bool) -> None:
    """List all plans."""
    found = ask_as_admin(lambda admin: admin.call("GET", _PLANS))["plans"]
    if as_json:
        print_json(found)
        return
    print_rows(_COLUMNS, [{**plan, "rates": _rates_of(plan)} for plan in found])


@plans.command("show")
@click.argument("plan")
@json_option
def show_plan(plan: str, as_json: bool) -> None:
    """Show a plan. What is not shown is without limit."""
    _show(ask_as_admin(lambda admin: admin.call("GET", f"{_PLANS}/{plan}")), as_json)


@plans.command("create")
@click.argument("plan")
@terms_options
@json_option
def create_plan(plan: str, as_json: bool, **terms: Any) -> None:
    """Make a plan. What no option says is without limit."""
    body = {"name": plan} | chosen(terms)
    _show(ask_as_admin(lambda admin: admin.call("POST", _PLANS, body)), as_json)


@plans.command("set")
@click.argument("plan")
@terms_options
@json_option
def change_plan(plan: str, as_json: bool, **terms: Any) -> None:
    """Change a plan, or make it. What no option says stays; `none` takes a limit away. Held jobs start at once."""

    async def change(admin: Client) -> Any:
        known = {each["name"]: each for each in (await admin.call("GET", _PLANS))["plans"]}.get(plan, {})
        before = {name: value for name, value in known.items() if name != "name"}
        return await admin.call("PUT", f"{_PLANS}/{plan}", before | chosen(terms))

    _show(ask_as_admin(change), as_json)


@plans.command("delete")
@click.argument("plan")
def delete_plan(plan: str) -> None:
    """Forget a plan that no account is on."""
    ask_as_admin(lambda admin: admin.call("DELETE", f"{_PLANS}/{plan}"))
    click.echo(f"there is no plan {plan} any more")


@plans.command("assign")
@click.argument("account")
@click.argument("plan")
@json_option
def assign_plan(account: str, plan: str, as_json: bool) -> None:
    """Put an account on a plan."""
    path = f"/admin/v1/accounts/{account}/plan"
    _show_quota(ask_as_admin(lambda admin: admin.call("PUT", path, {"plan": plan})), as_json)


@click.group()
def quota() -> None:
    """How accounts stand, and the proof that no token is lost."""


@quota.command("show")
@click.argument("account")
@json_option
def show_quota(account: str, as_json: bool) -> None:
    """Show an account's plan, what it has used of it, and until when it is over quota."""
    _show_quota(ask_as_admin(lambda admin: admin.call("GET", f"/admin/v1/accounts/{account}/quota")), as_json)


@quota.command("verify")
@json_option
def verify_quota(as_json: bool) -> None:
    """Prove that granted = reserved + settled + free and settled = ledger; exit code 1 names the first difference."""
    proof = ask_as_admin(lambda admin: admin.call("POST", "/admin/v1/quota/verify", within_seconds=_PROOF_SECONDS))
    if as_json:
        print_json(proof)
    click.echo(tell_proof("quota", proof), err=as_json)


def chosen(terms: dict[str, Any]) -> dict[str, Any]:
    """Return the terms that were named; `none` is null, or no rates at all."""
    named = {name: value for name, value in terms.items() if value is not None and value != ()}
    if "rates" in named:
        named["rates"] = [rate for rate in named["rates"] if rate != _WITHOUT_LIMIT]
    return {name: None if value == _WITHOUT_LIMIT else value for name, value in named.items()}


def _show(plan: dict[str, Any], as_json: bool) -> None:
    print_json(plan) if as_json else print_fields({**plan, "rates": _rates_of(plan)})


def _show_quota(standing: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(standing)
        return
    windows = ("window", "used", "reserved", "limit", "left", "resets")
    print_table(windows, quota_rows(standing), title=f"Plan {standing['plan']['name']}")
    if standing["held_until"] is not None:
        click.echo(f"over quota until {moment(standing['held_until'])} UTC, or until the plan is raised")


def _rates_of(plan: dict[str, Any]) -> list[str]:
    return [f"{rate['group']} {rate['per_minute']}/min" for rate in plan["rates"]]
