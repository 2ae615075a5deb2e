"""Makes a fresh mongod usable: the one-node replica set, its admin, and one user per service.

Each service may touch its own collections and no others; the contract says which are whose.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import AutoReconnect, OperationFailure

from gridloom_contract.registry import COLLECTIONS
from gridloom_local.servers import LOOPBACK, REPLICA_SET

Client = MongoClient[dict[str, Any]]

DATABASE: Final = "gridloom"
ADMIN: Final = "admin"

_RETRY_SECONDS: Final = 0.02
_AT_ONCE: Final = {"w": "majority", "j": True}
"""Without `j` mongod waits for its journal's timer, up to 100 ms."""
_ALREADY_INITIATED: Final = 23
_ROLE_EXISTS: Final = 51002
_USER_EXISTS: Final = 51003
_ACTIONS: Final = ("find", "insert", "update", "remove", "createCollection", "createIndex", "dropIndex", "listIndexes")


def mongo_url(port: int, user: str, password: str, database: str) -> str:
    """Return the URL with which `user` reaches `database`; the admin's account lives in the database `admin`."""
    home = ADMIN if user == ADMIN else database
    return f"mongodb://{user}:{quote(password)}@{LOOPBACK}:{port}/{database}?authSource={home}&replicaSet={REPLICA_SET}"


def initiate(port: int, passwords: Mapping[str, str], database: str = DATABASE, within_seconds: float = 20.0) -> None:
    """Bring a started mongod to the state in which services can use `database`. Harmless when repeated.

    A mongod that comes back on another port than last time is told so.
    `passwords` has one for `admin` and one for each service. Raises TimeoutError if mongod is not primary in time.
    """
    deadline = time.monotonic() + within_seconds
    admin = _direct(port, password=passwords[ADMIN])
    try:
        if not _admits(admin):
            _create_admin(port, passwords[ADMIN], deadline)
        _adopt_port(admin, port)
        _wait_for_primary(admin, deadline)
        admit_services(admin, database, passwords)
    finally:
        admin.close()


def admit_services(admin: Client, database: str, passwords: Mapping[str, str]) -> None:
    """Let every service log in to `database` and use its own collections there."""
    target = admin[database]
    for service, collections in COLLECTIONS.items():
        _put(
            target,
            "Role",
            service,
            _ROLE_EXISTS,
            privileges=[_privilege(database, name) for name in collections],
            roles=[],
        )
        _put(
            target, "User", service, _USER_EXISTS, pwd=passwords[service], roles=[service], mechanisms=["SCRAM-SHA-256"]
        )


def forget_database(admin: Client, database: str) -> None:
    """Remove a database with its users and roles."""
    target = admin[database]
    target.command("dropAllUsersFromDatabase", writeConcern=_AT_ONCE)
    target.command("dropAllRolesFromDatabase", writeConcern=_AT_ONCE)
    target.command("dropDatabase", writeConcern=_AT_ONCE)


def _direct(port: int, password: str | None = None) -> Client:
    login: dict[str, Any] = {"username": ADMIN, "password": password, "authSource": ADMIN} if password else {}
    return MongoClient(LOOPBACK, port, directConnection=True, serverSelectionTimeoutMS=20_000, **login)


def _admits(admin: Client) -> bool:
    try:
        admin.admin.command("ping")
    except OperationFailure:
        return False
    return True


def _create_admin(port: int, password: str, deadline: float) -> None:
    """Make the first user: mongod lets a client on its own machine do that, and initiate the set, without a login."""
    with _direct(port) as local:
        _initiate_set(local, port)
        _wait_for_primary(local, deadline)
        local.admin.command("createUser", ADMIN, pwd=password, roles=["root"], mechanisms=["SCRAM-SHA-256"])


def _initiate_set(client: Client, port: int) -> None:
    config = {
        "_id": REPLICA_SET,
        "members": [{"_id": 0, "host": f"{LOOPBACK}:{port}"}],
        "settings": {"electionTimeoutMillis": 1000},
    }
    try:
        client.admin.command("replSetInitiate", config)
    except OperationFailure as failure:
        if failure.code != _ALREADY_INITIATED:
            raise


def _adopt_port(admin: Client, port: int) -> None:
    """A replica set knows its members by address, and after a change of port mongod does not find itself among them."""
    _initiate_set(admin, port)
    config = admin.admin.command("replSetGetConfig")["config"]
    member = config["members"][0]
    if member["host"] != f"{LOOPBACK}:{port}":
        member["host"] = f"{LOOPBACK}:{port}"
        config["version"] += 1
        admin.admin.command("replSetReconfig", config, force=True)


def _wait_for_primary(client: Client, deadline: float) -> None:
    while not _is_primary(client):
        if time.monotonic() > deadline:
            raise TimeoutError(f"mongod at {client.address} did not become primary in time")
        time.sleep(_RETRY_SECONDS)


def _is_primary(client: Client) -> bool:
    try:
        return bool(client.admin.command("hello")["isWritablePrimary"])
    except AutoReconnect:
        return False


def _put(target: Database[dict[str, Any]], kind: str, name: str, exists: int, **content: Any) -> None:
    try:
        target.command(f"create{kind}", name, **content)
    except OperationFailure as failure:
        if failure.code != exists:
            raise
        target.command(f"update{kind}", name, **content)


def _privilege(database: str, collection: str) -> dict[str, Any]:
    return {"resource": {"db": database, "collection": collection}, "actions": list(_ACTIONS)}
