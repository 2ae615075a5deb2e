"""Databases are lent again, and whoever borrows one cannot tell."""

from __future__ import annotations

import pytest
from pymongo.errors import DuplicateKeyError

from gridloom_contract.registry import GATEWAY
from gridloom_kit.mongo import open_database
from gridloom_testing.databases import Databases


@pytest.fixture
def databases(mongo_server):
    return Databases(mongo_server.admin, mongo_server.secrets.mongo_passwords)


def lent_again(databases, name):
    """Give a database back and borrow it again once it has rested."""
    databases.give_back(name)
    for other in (databases.make(), databases.make()):
        databases.give_back(other)
    return databases.borrow()


async def test_what_was_given_back_is_empty_and_keeps_users_and_indexes(databases, mongo_server):
    name = databases.make()
    mongo_server.admin[name]["accounts"].create_index("name", unique=True)
    mongo_server.admin[name]["accounts"].insert_one({"_id": 1, "name": "a"})
    mongo_server.admin[name]["strange"].insert_many([{"_id": 1}, {"_id": 2}])

    assert lent_again(databases, name) == name
    async with open_database(mongo_server.url_of(GATEWAY, name), name) as own:
        assert await own["accounts"].count_documents({}) == 0
        await own["accounts"].insert_one({"_id": 1, "name": "a"})
        with pytest.raises(DuplicateKeyError):
            await own["accounts"].insert_one({"_id": 2, "name": "a"})
    assert mongo_server.admin[name]["strange"].count_documents({}) == 0


def test_a_database_rests_before_it_is_lent_again(databases):
    databases.give_back(first := databases.borrow())
    assert databases.borrow() != first


def test_a_database_that_held_much_is_not_lent_again(databases, mongo_server):
    name = databases.make()
    mongo_server.admin[name]["jobs"].insert_many([{} for _ in range(1_000)])
    assert lent_again(databases, name) != name
    assert name not in mongo_server.admin.list_database_names()
