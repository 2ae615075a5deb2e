"""Violations to plant: one use of everything that is banned somewhere."""

from __future__ import annotations

BANNED_USES = {
    "aioboto3": "import aioboto3",
    "botocore": "from botocore.config import Config",
    "motor": "from motor.motor_asyncio import AsyncIOMotorClient",
    "pymongo": "import pymongo.errors",
    "bson": "from bson import ObjectId",
    "nats": "import nats",
    "os.environ": "import os\nhome = os.environ['HOME']",
    "os.getenv": "from os import getenv\nhome = getenv('HOME')",
    "asyncio.create_task": "import asyncio\ntask = asyncio.create_task(work())",
    "asyncio.ensure_future": "from asyncio import ensure_future\ntask = ensure_future(work())",
    "asyncio.get_running_loop().create_task": "import asyncio\nasyncio.get_running_loop().create_task(work())",
    "asyncio.get_event_loop().create_task": "import asyncio\nasyncio.get_event_loop().create_task(work())",
    "datetime.datetime.now": "from datetime import UTC, datetime\nnow = datetime.now(UTC)",
    "datetime.datetime.today": "import datetime as d\nnow = d.datetime.today()",
    "datetime.datetime.utcnow": "import datetime\nnow = datetime.datetime.utcnow()",
    "datetime.date.today": "from datetime import date\nday = date.today()",
    "time.time": "import time\nnow = time.time()",
    "uuid.uuid4": "from uuid import uuid4\nname = uuid4()",
    "json": "import json",
    "unittest.mock": "from unittest.mock import patch",
}
HOUSE_ONLY = {"asyncio.get_running_loop().create_task", "asyncio.get_event_loop().create_task"}
"""Ruff cannot see these two."""
RUFF_KNOWS = sorted(BANNED_USES.keys() - HOUSE_ONLY)
