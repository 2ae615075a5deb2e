"""The embedded MongoDB: each service sees its own collections, and what is written survives a crash."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from gridloom_contract.registry import COLLECTIONS, GATEWAY, SCHEDULER
from gridloom_kit.mongo import open_database
from gridloom_local import mongo_setup, running, servers

EVERY_COLLECTION = sorted({name for names in COLLECTIONS.values() for name in names})
NOT_AUTHORIZED = 13


@pytest.mark.parametrize("service", COLLECTIONS)
async def test_a_service_reads_exactly_its_own_collections(service, mongo_url_of, database_name):
    async with open_database(mongo_url_of(service), database_name) as own:
        readable = [name for name in EVERY_COLLECTION if await is_allowed(own[name].find_one({}))]
    assert readable == sorted(COLLECTIONS[service])


@pytest.mark.parametrize("service", COLLECTIONS)
async def test_a_service_writes_exactly_its_own_collections(service, mongo_url_of, database_name):
    async with open_database(mongo_url_of(service), database_name) as own:
        writable = [name for name in EVERY_COLLECTION if await is_allowed(own[name].insert_one({}))]
    assert writable == sorted(COLLECTIONS[service])


async def test_the_scheduler_cannot_read_api_keys(mongo_url_of, database_name):
    async with open_database(mongo_url_of(SCHEDULER), database_name) as own:
        with pytest.raises(OperationFailure) as refusal:
            await own["api_keys"].find_one({})
    assert refusal.value.code == NOT_AUTHORIZED


async def test_a_service_can_make_its_indexes(mongo_url_of, database_name):
    async with open_database(mongo_url_of(SCHEDULER), database_name) as own:
        await own["jobs"].create_index([("state", 1)], name="by_state")
        await own["jobs"].drop_index("by_state")


async def test_a_service_of_another_database_is_nobody_here(mongo_server, mongo_url_of, database_name):
    other = mongo_server.databases.borrow()
    async with open_database(mongo_url_of(GATEWAY), other) as foreign:
        assert not await is_allowed(foreign["accounts"].find_one({}))
    mongo_server.databases.give_back(other)


def test_who_does_not_log_in_reads_nothing(mongo_server, database_name):
    with (
        MongoClient("127.0.0.1", mongo_server.port, directConnection=True) as stranger,
        pytest.raises(OperationFailure),
    ):
        stranger[database_name]["jobs"].find_one({})


async def test_a_write_survives_a_crash(mongo_server, database):
    await database["jobs"].insert_one({"_id": "kept"})
    mongo_server.restart()
    assert await database["jobs"].find_one({"_id": "kept"})


def test_a_server_that_comes_back_on_another_port_keeps_its_data(tmp_path, secrets):
    with started(tmp_path, secrets) as first:
        first["gridloom"]["jobs"].insert_one({"_id": "kept"})
    with started(tmp_path, secrets) as second:
        assert second["gridloom"]["jobs"].find_one({"_id": "kept"})


async def is_allowed(attempt):
    try:
        await attempt
    except OperationFailure as refusal:
        if refusal.code != NOT_AUTHORIZED:
            raise
        return False
    return True


@contextmanager
def started(folder, secrets):
    """A mongod of this folder on a free port, initiated twice; yields an admin's client."""
    port, passwords = servers.free_port(), secrets.mongo_passwords
    process = running.start(servers.mongo_server(folder, port, secrets.mongo_keyfile))
    try:
        process.wait_until_ready()
        mongo_setup.initiate(port, passwords)
        mongo_setup.initiate(port, passwords)
        with MongoClient(mongo_setup.mongo_url(port, "admin", passwords["admin"], "admin")) as client:
            yield client
    finally:
        process.kill()
