"""The configured nats-server on the wire: who gets in, who may say and hear what, and what survives."""

from __future__ import annotations

import asyncio

import nats
import pytest
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from gridloom_contract.permissions import BORDER, service_inbox
from gridloom_contract.registry import CHANNELS, GATEWAY, SCHEDULER, SERVICES
from gridloom_local.nats_config import SYSTEM_USER
from gridloom_testing.builders import a_worker_id, a_worker_token
from gridloom_testing.clients import hostile_worker, open_probe

SUBJECTS = sorted({channel.subject for channel in CHANNELS})


def as_written(subject: str) -> str:
    return subject.replace("*", "x")


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_may_send_exactly_what_the_registry_says(service, nats_server):
    declared = {channel.subject for channel in CHANNELS if service in channel.senders}
    async with open_probe(nats_server, **nats_server.login_of(service)) as probe:
        allowed = {subject for subject in SUBJECTS if await probe.may_publish(as_written(subject))}
    assert allowed == declared


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_may_hear_exactly_what_the_registry_says(service, nats_server):
    declared = {channel.subject for channel in CHANNELS if service in channel.hearers}
    async with open_probe(nats_server, **nats_server.login_of(service)) as probe:
        allowed = {subject for subject in SUBJECTS if await probe.may_subscribe(subject)}
    assert allowed == declared


@pytest.mark.parametrize("subject", [">", "work.>", "_INBOX.>", "$JS.>", "$SYS.>", "tok.>", "wrk.>", "$KV.>"])
@pytest.mark.parametrize("service", SERVICES)
async def test_no_service_hears_more_than_it_needs(service, subject, nats_server):
    async with open_probe(nats_server, **nats_server.login_of(service)) as probe:
        assert not await probe.may_subscribe(subject)


@pytest.mark.parametrize(
    "subject",
    [
        "$JS.API.STREAM.DELETE.EVENTS",
        "$JS.API.STREAM.CREATE.EVENTS",
        "$JS.API.CONSUMER.CREATE.WORK_HIGH.c",
        "work.high.m.w.j",
    ],
)
async def test_the_gateway_makes_no_streams_and_gives_no_work(subject, nats_server):
    async with open_probe(nats_server, **nats_server.login_of(GATEWAY)) as probe:
        assert not await probe.may_publish(subject)


async def test_a_service_cannot_read_the_answers_to_another(nats_server):
    async with open_probe(nats_server, **nats_server.login_of(GATEWAY)) as probe:
        assert not await probe.may_subscribe(f"{service_inbox(SCHEDULER)}.>")
        assert await probe.may_subscribe(f"{service_inbox(GATEWAY)}.>")


@pytest.mark.parametrize("login", [{}, {"user": SCHEDULER, "password": "guessed"}, {"user": "nobody", "password": "x"}])
async def test_who_does_not_log_in_is_refused(login, nats_server, admission):
    with pytest.raises(NatsError):
        async with open_probe(nats_server, **login):
            pass


@pytest.mark.parametrize("token", ["glw_", "glm_wabc_secret", "glw_wabc", "no token at all"])
async def test_what_is_no_worker_token_is_refused(token, nats_server, admission):
    with pytest.raises(NatsError):
        async with open_probe(nats_server, token=token):
            pass


async def test_a_worker_reaches_only_its_own_subjects(nats_server, admission):
    own, other = a_worker_id(), a_worker_id()
    async with hostile_worker(nats_server, a_worker_token(own)) as probe:
        assert await probe.may_publish(f"tok.{own}.job")
        assert await probe.may_subscribe(f"ctl.{own}.stop")
        assert not await probe.may_publish(f"tok.{other}.job")
        assert await probe.may_subscribe(f"ctl.{own}.order.high")
        assert not await probe.may_publish(f"$JS.API.CONSUMER.MSG.NEXT.WORK_HIGH.{own}")
        assert not await probe.may_publish(f"$JS.API.CONSUMER.MSG.NEXT.WORK_HIGH.{other}")
        assert not await probe.may_subscribe(f"ctl.{other}.order.high")
        assert not await probe.may_publish(f"$JS.ACK.WORK_HIGH.{other}.1.1.1.0.0")
        assert not await probe.may_subscribe(f"ctl.{other}.stop")
        assert not await probe.may_subscribe(f"_INBOX.w.{other}.>")


async def test_workers_and_services_meet_nowhere_but_at_the_border(nats_server):
    workers = (await nats_server.monitor("accountz?acc=WORKERS"))["account_detail"]
    taken = [(each["type"], each["subject"]) for each in workers["imports"] if each["account"] != "SYS"]
    assert sorted(subject for kind, subject in taken if kind == "service") == sorted(BORDER.acknowledgements)
    assert sorted(subject for kind, subject in taken if kind == "stream") == sorted(BORDER.heard_by_workers)
    assert {each["subject"] for each in workers["exports"]} == set(BORDER.said_by_workers)
    assert not workers["jetstream_enabled"]


async def test_every_accepted_message_is_on_disk(nats_server):
    monitored = await nats_server.monitor("varz")
    assert monitored["jetstream"]["config"]["sync_always"] is True


async def test_the_limits_against_floods_are_set(nats_server):
    monitored = await nats_server.monitor("varz")
    assert monitored["max_payload"] == 1024 * 1024
    assert monitored["max_connections"] == 10_000
    assert monitored["auth_required"] is True
    assert monitored["write_deadline"] == 2_000_000_000
    assert monitored["ping_max"] == 2


async def test_the_system_user_can_end_a_connection(nats_server):
    async with (
        open_probe(nats_server, **nats_server.login_of(GATEWAY), closed_cb=(ended := Ended()).tell) as victim,
        open_probe(nats_server, **nats_server.login_of(SYSTEM_USER)) as system,
    ):
        server = (await nats_server.monitor("varz"))["server_id"]
        kick = f'{{"cid": {victim.client.client_id}}}'.encode()
        await system.client.request(f"$SYS.REQ.SERVER.{server}.KICK", kick)
        await ended.seen(within_seconds=5)


async def test_a_service_reaches_nothing_of_the_server_itself(nats_server):
    async with open_probe(nats_server, **nats_server.login_of(SCHEDULER)) as probe:
        assert not await probe.may_publish("$SYS.REQ.SERVER.PING.VARZ")
        assert not await probe.may_publish("$SYS.REQ.USER.AUTH")


async def test_a_stream_survives_a_crash_and_not_a_wipe(nats_server):
    await make_stream(nats_server, "KEPT")
    nats_server.restart()
    assert await has_stream(nats_server, "KEPT")
    nats_server.wipe_store()
    assert not await has_stream(nats_server, "KEPT")


async def test_a_suspended_server_answers_nobody_until_it_wakes(nats_server):
    with nats_server.suspended():
        reader, writer = await asyncio.open_connection("127.0.0.1", nats_server.port)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(4), 0.3)
    assert await reader.readexactly(4) == b"INFO"
    writer.close()
    await writer.wait_closed()


class Ended:
    def __init__(self):
        self._told = asyncio.Event()

    async def tell(self):
        self._told.set()

    async def seen(self, within_seconds):
        async with asyncio.timeout(within_seconds):
            await self._told.wait()


async def make_stream(nats_server, name):
    connection = await nats.connect(nats_server.url, **nats_server.login_of("admin"))
    await connection.jetstream().add_stream(name=name, subjects=[name])
    await connection.close()


async def has_stream(nats_server, name):
    connection = await nats.connect(nats_server.url, **nats_server.login_of("admin"))
    try:
        await connection.jetstream().stream_info(name)
    except NotFoundError:
        return False
    else:
        return True
    finally:
        await connection.close()
