"""`gridloom accounts`, `keys` and `workers`: administration, with the admin key."""

from __future__ import annotations

from typing import Any

import click

from gridloom_local.cli.running import ask_as_admin
from gridloom_local.tables import print_fields, print_json, print_rows

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def accounts() -> None:
    """Who may use the grid."""


@accounts.command("create")
@click.argument("name")
@json_option
def create_account(name: str, as_json: bool) -> None:
    """Create an account."""
    _show(ask_as_admin(lambda admin: admin.call("POST", "/admin/v1/accounts", {"name": name})), as_json)


@accounts.command("list")
@json_option
def list_accounts(as_json: bool) -> None:
    """List all accounts."""
    entries = ask_as_admin(lambda admin: admin.every("/admin/v1/accounts", "accounts"))
    columns = {"account": "id", "name": "name", "created": "created_at", "disabled": "disabled_at"}
    _list(entries, columns, as_json)


@accounts.command("disable")
@click.argument("account")
@json_option
def disable_account(account: str, as_json: bool) -> None:
    """Refuse all keys of an account from now on; its jobs stay."""
    _show(ask_as_admin(lambda admin: admin.call("POST", f"/admin/v1/accounts/{account}/disable")), as_json)


@click.group()
def keys() -> None:
    """The API keys of accounts."""


@keys.command("create")
@click.argument("account")
@click.option("--name", default="", help="What the key is for.")
@json_option
def create_key(account: str, name: str, as_json: bool) -> None:
    """Create an API key. It is shown this once."""
    path = f"/admin/v1/accounts/{account}/keys"
    _show(ask_as_admin(lambda admin: admin.call("POST", path, {"name": name} if name else {})), as_json)


@keys.command("list")
@click.argument("account")
@json_option
def list_keys(account: str, as_json: bool) -> None:
    """List the keys of an account, without the keys themselves."""
    entries = ask_as_admin(lambda admin: admin.every(f"/admin/v1/accounts/{account}/keys", "keys"))
    columns = {"key id": "kid", "name": "name", "created": "created_at", "last used": "last_used_at"}
    _list(entries, columns | {"expires": "expires_at", "revoked": "revoked_at"}, as_json)


@keys.command("rotate")
@click.argument("kid")
@json_option
def rotate_key(kid: str, as_json: bool) -> None:
    """Make a new key in place of an old one, which goes on working for a while."""
    _show(ask_as_admin(lambda admin: admin.call("POST", f"/admin/v1/keys/{kid}/rotate")), as_json)


@keys.command("revoke")
@click.argument("kid")
def revoke_key(kid: str) -> None:
    """Refuse a key from now on."""
    ask_as_admin(lambda admin: admin.call("DELETE", f"/admin/v1/keys/{kid}"))
    click.echo(f"key {kid} is revoked")


def _show(entry: dict[str, Any], as_json: bool) -> None:
    print_json(entry) if as_json else print_fields(entry)


def _list(entries: list[dict[str, Any]], columns: dict[str, str], as_json: bool) -> None:
    print_json(entries) if as_json else print_rows(columns, entries)
