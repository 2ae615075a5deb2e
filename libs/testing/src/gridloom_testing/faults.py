"""Ways to break what lies between two processes: a TCP proxy that is slow, deaf or rude."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from gridloom_local.running import wait_until_stopped

_PIECE_BYTES = 65_536
_PIECES_ON_THE_WAY = 256
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds
_OnTheWay = asyncio.Queue[tuple[float, bytes]]


class TcpProxy:
    """Passes bytes between its own `port` and a target, until told to do it badly. All of it may change at any time."""

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self.delay_seconds = 0.0
        """How much later each piece arrives, in both directions."""
        self.bytes_per_second: float | None = None
        """How fast each direction is; None = as fast as it goes."""
        self._target_port = target_port
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._refusing = False
        self._lines: set[asyncio.StreamWriter] = set()

    def go_silent(self) -> None:
        """Half-open from now on: connections stay, nothing passes, and neither side is told."""
        self._flowing.clear()

    def speak_again(self) -> None:
        """Pass everything on that was held back since `go_silent`."""
        self._flowing.set()

    def refuse(self) -> None:
        """Reset all connections, and every new one at once, until `accept`."""
        self._refusing = True
        self.reset_all()

    def accept(self) -> None:
        """Take connections again."""
        self._refusing = False

    def reset_all(self) -> None:
        """End every connection with a TCP reset."""
        for writer in list(self._lines):
            _reset(writer)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until either side ends."""
        if self._refusing:
            _reset(writer)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            _reset(writer)
            return
        self._lines |= {writer, far_writer}
        try:
            await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer))
        finally:
            self._lines -= {writer, far_writer}

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction. What is read waits its time in a queue, so that a delay does not cost throughput."""
        on_the_way: _OnTheWay = asyncio.Queue(maxsize=_PIECES_ON_THE_WAY)
        await asyncio.gather(self._take_in(reader, on_the_way), self._hand_out(on_the_way, writer))

    async def _take_in(self, reader: asyncio.StreamReader, on_the_way: _OnTheWay) -> None:
        piece = b"-"
        while piece:
            try:
                piece = await reader.read(_PIECE_BYTES)
            except OSError:
                piece = b""
            await on_the_way.put((_now() + self.delay_seconds, piece))

    async def _hand_out(self, on_the_way: _OnTheWay, writer: asyncio.StreamWriter) -> None:
        """Ends with the empty piece, which says that the other side has ended."""
        while True:
            due, piece = await on_the_way.get()
            await asyncio.sleep(max(0.0, due - _now()))
            await self._flowing.wait()
            if not piece:
                writer.close()
                return
            if self.bytes_per_second:
                await asyncio.sleep(len(piece) / self.bytes_per_second)
            await _write(writer, piece)


@asynccontextmanager
async def tcp_proxy(target_port: int) -> AsyncIterator[TcpProxy]:
    """Yield a proxy in front of a loopback port; on leaving, its connections are reset."""
    proxy = TcpProxy(target_port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.refuse()
        proxy.speak_again()
        await server.wait_closed()


def kill(pid: int) -> None:
    """End a process as a crash would (kill -9)."""
    os.kill(pid, signal.SIGKILL)


@contextmanager
def suspended(pid: int) -> Iterator[None]:
    """Freeze a process: it keeps its connections, misses its deadlines, and wakes up believing nothing happened."""
    os.kill(pid, signal.SIGSTOP)
    wait_until_stopped(pid)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _reset(writer: asyncio.StreamWriter) -> None:
    raw: socket.socket | None = writer.get_extra_info("socket")
    if raw is not None and not writer.is_closing():
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()


async def _write(writer: asyncio.StreamWriter, piece: bytes) -> None:
    """A side that has gone is noticed by its own direction; what is left for it is dropped."""
    try:
        writer.write(piece)
        await writer.drain()
    except OSError:
        pass


def _now() -> float:
    return asyncio.get_running_loop().time()
