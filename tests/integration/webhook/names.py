"""A DNS server that answers as a test says, and may answer otherwise the next time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rrset


class NameServer(asyncio.DatagramProtocol):
    """`answers` has for each name what it answers in turn, the last again and again: lists of addresses or a CNAME."""

    def __init__(self) -> None:
        self.answers: dict[str, list[list[str]]] = {}
        self.asked: list[str] = []
        self.is_silent_about: str | None = None
        self._transport: asyncio.DatagramTransport | None = None
        self._turns: dict[tuple[str, str], int] = {}

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        question = dns.message.from_wire(data)
        name = question.question[0].name.to_text().rstrip(".").lower()
        kind = dns.rdatatype.to_text(question.question[0].rdtype)
        self.asked.append(f"{name} {kind}")
        is_silent = self.is_silent_about is not None and name.startswith(self.is_silent_about)
        if is_silent or self._transport is None:
            return
        self._transport.sendto(self._answer(question, name, kind).to_wire(), address)

    def _answer(self, question: dns.message.Message, name: str, kind: str) -> dns.message.Message:
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.RA
        turns = self.answers.get(name)
        if turns is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
            return answer
        turn = self._turns.get((name, kind), 0)
        self._turns[name, kind] = turn + 1
        for value in turns[min(turn, len(turns) - 1)]:
            record = _kind_of(value)
            if record == kind:
                answer.answer.append(dns.rrset.from_text(name + ".", 0, "IN", record, value))
            elif record == "CNAME":
                answer.answer.append(dns.rrset.from_text(name + ".", 0, "IN", record, value + "."))
                inner = self._answer(question, value, kind).answer
                answer.answer += inner
        return answer


def _kind_of(value: str) -> str:
    if ":" in value:
        return "AAAA"
    return "A" if value.replace(".", "").isdigit() else "CNAME"


@asynccontextmanager
async def serving_names() -> AsyncIterator[tuple[NameServer, str]]:
    """Yield a DNS server and its `address:port`."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    try:
        yield server, f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    finally:
        transport.close()
