"""The faulty network: each fault does what its name says, and ends when it is told to."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, suppress

import pytest

from gridloom_testing.faults import tcp_proxy


async def test_an_unharmed_line_passes_everything_on():
    async with echo_behind_proxy() as (reader, writer, _):
        content = bytes(range(256)) * 4096
        writer.write(content)
        assert await reader.readexactly(len(content)) == content


async def test_a_delay_is_added_in_each_direction_and_costs_no_throughput():
    async with echo_behind_proxy() as (reader, writer, proxy):
        proxy.delay_seconds = 0.05
        began = time.monotonic()
        for _ in range(20):
            writer.write(b"0123456789")
            await writer.drain()
            await asyncio.sleep(0)
        await reader.readexactly(200)
        assert 0.1 <= time.monotonic() - began < 0.5


async def test_a_silent_line_stays_open_and_loses_nothing():
    async with echo_behind_proxy() as (reader, writer, proxy):
        proxy.go_silent()
        writer.write(b"held back")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(9), 0.1)
        proxy.speak_again()
        assert await reader.readexactly(9) == b"held back"


async def test_a_reset_is_seen_as_one():
    async with echo_behind_proxy() as (reader, writer, proxy):
        writer.write(b"x")
        await reader.readexactly(1)
        proxy.reset_all()
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)


async def test_a_refusing_line_takes_nobody_until_it_accepts_again():
    async with echo_behind_proxy() as (_, _, proxy):
        proxy.refuse()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await talk(proxy.port)
        proxy.accept()
        assert await talk(proxy.port) == b"hello"


async def test_a_throttled_line_is_as_slow_as_told():
    async with echo_behind_proxy() as (reader, writer, proxy):
        proxy.bytes_per_second = 10_000
        began = time.monotonic()
        writer.write(b"x" * 1000)
        await reader.readexactly(1000)
        assert time.monotonic() - began >= 0.2


async def test_a_target_that_is_gone_is_a_reset():
    async with tcp_proxy(target_port=9) as proxy:
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await talk(proxy.port)


async def talk(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"hello")
        return await reader.readexactly(5)
    finally:
        await close(writer)


async def echo(reader, writer):
    try:
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        await close(writer)


async def close(writer):
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def echo_behind_proxy():
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, tcp_proxy(server.sockets[0].getsockname()[1]) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        try:
            yield reader, writer, proxy
        finally:
            await close(writer)
