"""No name, no literal and no change of mind gets a connection to where it must not go (OPS §4.3)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gridloom_domain.addresses import networks
from gridloom_domain.targets import TargetRules
from gridloom_kit.clock import SystemClock
from gridloom_webhook.rules import Answer
from gridloom_webhook.sender import Patience, Sender, open_sender
from integration.webhook.names import NameServer, serving_names
from integration.webhook.receivers import Receiver, listening

INSIDE = TargetRules(allow_private=True, denied=networks(["127.0.0.2/32", "::1/128"]))
"""For these tests 127.0.0.1 stands for the outside, 127.0.0.2 and ::1 for the inside."""
PATIENCE = Patience(1.0, 2.0)


class Outside:
    """A sender, a DNS server it asks, and a receiver."""

    def __init__(self, sender: Sender, names: NameServer, receiver: Receiver) -> None:
        self._sender = sender
        self.names = names
        self.receiver = receiver
        self.port = receiver.url.rpartition(":")[2]

    async def send(self, host: str, patience: Patience = PATIENCE) -> Answer:
        return await self._sender.send(f"http://{host}:{self.port}/", b"{}", {}, patience)


@pytest.fixture
async def outside() -> AsyncIterator[Outside]:
    async with AsyncExitStack() as stack:
        names, address = await stack.enter_async_context(serving_names())
        receiver = await stack.enter_async_context(listening())
        sender = await stack.enter_async_context(open_sender(INSIDE, (address,), SystemClock()))
        yield Outside(sender, names, receiver)


@pytest.fixture
async def strict() -> AsyncIterator[Sender]:
    async with open_sender(TargetRules(), (), SystemClock()) as sender:
        yield sender


async def test_a_name_outside_is_reached(outside: Outside) -> None:
    outside.names.answers["hooks.example.org"] = [["127.0.0.1"]]
    assert (await outside.send("hooks.example.org")).result == "2xx"


async def test_a_name_that_leads_inside_is_blocked_and_the_address_not_told(outside: Outside) -> None:
    outside.names.answers["hooks.example.org"] = [["127.0.0.2"]]
    answer = await outside.send("hooks.example.org")
    assert answer.result == "blocked"
    assert answer.error == "hooks.example.org has an address that may not be called"


async def test_a_name_that_changes_its_answer_gains_nothing(outside: Outside) -> None:
    outside.names.answers["rebinding.example.org"] = [["127.0.0.1"], ["127.0.0.2"], ["127.0.0.1"], ["127.0.0.2"]]
    results = [(await outside.send("rebinding.example.org")).result for _ in range(4)]
    assert results == ["2xx", "blocked", "2xx", "blocked"]
    assert len(outside.receiver.requests) == 2


@pytest.mark.parametrize(
    "inside", ["127.0.0.2", "::1", "169.254.169.254", "fe80::1", "64:ff9b::7f00:2", "::ffff:127.0.0.2"]
)
async def test_a_name_with_one_address_inside_is_refused_whole(outside: Outside, inside: str) -> None:
    outside.names.answers["mixed.example.org"] = [["127.0.0.1", inside]]
    assert (await outside.send("mixed.example.org")).result == "blocked"
    assert outside.receiver.requests == []


async def test_an_alias_of_a_name_inside_is_blocked(outside: Outside) -> None:
    outside.names.answers |= {"alias.example.org": [["db.corp.example"]], "db.corp.example": [["127.0.0.2"]]}
    assert (await outside.send("alias.example.org")).result == "blocked"


async def test_a_name_that_does_not_exist_is_a_dns_failure(outside: Outside) -> None:
    assert (await outside.send("nobody.example.org")).result == "dns"


async def test_a_dns_server_that_is_silent_delays_no_other_lookup(outside: Outside) -> None:
    outside.names.is_silent_about = "stuck"
    async with asyncio.TaskGroup() as tasks:
        stuck = [tasks.create_task(outside.send(f"stuck{n}.example.org", Patience(20.0, 20.0))) for n in range(50)]
        while len(outside.names.asked) < 50:
            await asyncio.sleep(0.01)
        outside.names.answers["hooks.example.org"] = [["127.0.0.1"]]
        assert (await outside.send("hooks.example.org")).result == "2xx"
        assert not any(task.done() for task in stuck)
    assert {task.result().result for task in stuck} <= {"dns", "timeout"}


@pytest.mark.parametrize(
    "host", ["127.0.0.2", "[::1]", "[::ffff:127.0.0.2]", "169.254.169.254", "[fe80::1%25lo]", "0.0.0.0"]
)
async def test_an_address_inside_is_blocked(outside: Outside, host: str) -> None:
    assert (await outside.send(host)).result == "blocked"


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://localhost/",
        "https://0x7f.1/",
        "https://2130706433/",
        "https://127.1/",
        "https://0177.0.0.1/",
        "https://0/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::1]/",
        "https://[::]/",
        "https://user:pw@127.0.0.1/",
        "https://１２７.0.0.1/",
        "https://[fe80::1%25lo]/",
        "http://example.org/",
        "file:///etc/passwd",
        "https://example.org:22/",
    ],
)
async def test_as_shipped_nothing_inside_is_tried(strict: Sender, url: str) -> None:
    assert (await strict.send(url, b"{}", {}, PATIENCE)).result == "blocked"


async def test_the_socket_itself_is_refused_where_the_url_looked_good(strict: Sender) -> None:
    lenient = Sender(strict._session, TargetRules(allow_private=True), SystemClock())
    for url in ("http://127.0.0.1:1/", "http://[::1]:1/", "http://[::ffff:127.0.0.1]:1/"):
        answer = await lenient.send(url, b"{}", {}, PATIENCE)
        assert (answer.result, answer.status) == ("blocked", None), answer


async def test_a_certificate_for_another_name_is_a_tls_failure(tmp_path: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(a_certificate(tmp_path, "someone-else.example.org"))
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with server, open_sender(replace(INSIDE, denied=()), (), SystemClock()) as sender:
        answer = await sender.send(f"https://localhost:{port}/", b"{}", {}, PATIENCE)
    assert answer.result == "tls"


def a_certificate(folder: Path, name: str) -> Path:
    """Write a self-signed certificate with its key and return the file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    built = x509.CertificateBuilder(subject, subject, key.public_key(), 1, now, now + timedelta(days=1))
    pieces = [
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM),
    ]
    path = folder / "certificate.pem"
    path.write_bytes(b"".join(pieces))
    return path
