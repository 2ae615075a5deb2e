"""Clients that are slow, broken or wicked: each gets an answer in the API's shape, and none of them costs much."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from typing import Any

import msgspec
import psutil
from aiohttp import FormData

from gridloom_testing.clients import JOBS, ApiClient
from integration.gateway.conftest import OpenGateway, RunningGateway, Tenant
from integration.gateway.raw import RawAnswer, head, wire_to
from integration.gateway.scripted import ScriptedScheduler

BODY = b'{"model":"m","prompt":"Say hello"}'


async def answer_to(gateway: RunningGateway, request: bytes) -> RawAnswer:
    async with wire_to(gateway.url) as wire:
        await wire.send(request)
        return await wire.answer()


def word_of(answer: RawAnswer) -> str:
    body: dict[str, str] = msgspec.json.decode(answer.body)
    assert answer.headers["content-type"].startswith("application/json")
    assert body["message"]
    assert "server" not in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff"
    return body["error"]


WRONG_BODIES = {
    b"": (400, "malformed"),
    b"{": (400, "malformed"),
    b"model=m&prompt=p": (400, "malformed"),
    b"\xff\xfe\x00": (400, "malformed"),
    b'{"model":"m","prompt":"\\ud800"}': (400, "malformed"),
    b'{"model":"m","prompt":"p","x":' + b"[" * 65 + b"]" * 65 + b"}": (400, "malformed"),
    b'{"model":"m","prompt":"p","x":' + b"[" * 200_000: (400, "malformed"),
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000: (400, "malformed"),
    b"null": (422, "invalid"),
    b"[1]": (422, "invalid"),
    b'{"prompt":"p"}': (422, "invalid"),
    b'{"model":{"$gt":""},"prompt":"p"}': (422, "invalid"),
}


async def test_a_wrong_body_is_refused_in_the_apis_shape(gateway: RunningGateway, tenant: Tenant) -> None:
    for body, expected in WRONG_BODIES.items():
        answer = await answer_to(gateway, head(tenant.key, f"Content-Length: {len(body)}") + body)

        assert (answer.status, word_of(answer)) == expected, body[:60]


WRONG_ROUTES = {
    ("GET", "/"): (404, "not_found"),
    ("GET", "/api/v2/jobs"): (404, "not_found"),
    ("GET", "/api/v1/nothing"): (404, "not_found"),
    ("GET", "/admin/v1/nothing"): (404, "not_found"),
    ("PUT", JOBS): (405, "method_not_allowed"),
    ("OPTIONS", JOBS): (405, "method_not_allowed"),
    ("TRACE", JOBS): (405, "method_not_allowed"),
    ("DELETE", "/openapi.json"): (405, "method_not_allowed"),
    ("GET", "/docs/../settings.py"): (404, "not_found"),
    ("GET", "/docs/%2e%2e%2fsettings.py"): (404, "not_found"),
    ("GET", "/" + "a" * 5000): (404, "not_found"),
}


async def test_a_wrong_route_is_refused_in_the_apis_shape(gateway: RunningGateway, tenant: Tenant) -> None:
    for (method, path), expected in WRONG_ROUTES.items():
        answer = await answer_to(gateway, head(tenant.key, method=method, path=path))

        assert (answer.status, word_of(answer)) == expected, (method, path)
        assert (answer.status == 405) == ("allow" in answer.headers)


NO_HTTP = [
    b"\x16\x03\x01\x02\x00\x01\x00",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 9000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 200 + b"\r\n",
    b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n",
]


async def test_what_is_no_http_is_answered_once_and_cut_off(gateway: RunningGateway) -> None:
    for request in NO_HTTP:
        async with wire_to(gateway.url) as wire:
            await wire.send(request)
            answer = await wire.answer()

            assert (answer.status, word_of(answer)) == (400, "bad_request"), request[:60]
            assert await wire.is_cut_within(3)


async def test_a_compressed_body_is_refused_without_being_inflated(gateway: RunningGateway, tenant: Tenant) -> None:
    bombs = {"gzip": gzip.compress(b" " * 20_000_000), "deflate": zlib.compress(b" " * 20_000_000), "BR": b"x"}
    before = psutil.Process().memory_info().rss
    for encoding, bomb in bombs.items():
        lines = (f"Content-Encoding: {encoding}", f"Content-Length: {len(bomb)}")
        answer = await answer_to(gateway, head(tenant.key, *lines) + bomb)

        assert (answer.status, word_of(answer)) == (415, "unsupported_media"), encoding
    assert psutil.Process().memory_info().rss - before < 15_000_000


async def test_a_form_with_files_is_refused(gateway: RunningGateway, tenant: Tenant) -> None:
    answer = await answer_to(
        gateway, head(tenant.key, "Content-Type: multipart/form-data; boundary=x", "Content-Length: 0")
    )

    assert (answer.status, word_of(answer)) == (415, "unsupported_media")


async def test_an_upload_beyond_the_limit_of_files_is_refused_whatever_bodies_may_have(
    open_gateway: OpenGateway, scheduler: ScriptedScheduler
) -> None:
    gateway = await open_gateway(max_file_bytes=1_000_000, max_body_bytes=1_000)
    async with ApiClient(gateway.url, (await gateway.tenant()).key) as client:
        form = FormData({"purpose": "batch"})
        form.add_field("file", b"x" * 1_000_001, filename="lines.jsonl")
        async with client.session.post("/v1/files", data=form) as answer:
            problem = (await answer.json())["error"]
    assert (answer.status, problem["type"], problem["param"]) == (413, "file_too_large", "file")


async def test_a_body_is_refused_by_its_announced_size(open_gateway: OpenGateway, scheduler: ScriptedScheduler) -> None:
    gateway = await open_gateway(max_body_bytes=1000)
    tenant = await gateway.tenant()

    answer = await answer_to(gateway, head(tenant.key, "Content-Length: 1001"))

    assert (answer.status, word_of(answer)) == (413, "too_large")
    assert b"1001" in answer.body
    assert b"1000" in answer.body


async def test_a_body_that_grows_beyond_the_limit_is_refused(
    open_gateway: OpenGateway, scheduler: ScriptedScheduler
) -> None:
    gateway = await open_gateway(max_body_bytes=1000)
    tenant = await gateway.tenant()
    chunk = b"400\r\n" + b"x" * 1024 + b"\r\n"

    answer = await answer_to(gateway, head(tenant.key, "Transfer-Encoding: chunked") + chunk * 3)

    assert (answer.status, word_of(answer)) == (413, "too_large")


async def test_headers_that_drip_are_cut_off(open_gateway: OpenGateway, scheduler: ScriptedScheduler) -> None:
    gateway = await open_gateway(header_timeout_seconds=0.5)
    async with wire_to(gateway.url) as wire:
        await wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
        await asyncio.sleep(0.3)
        await wire.send(b"X-Drip: 1\r\n")
        answer = await wire.answer()

        assert (answer.status, word_of(answer)) == (408, "request_timeout")
        assert await wire.is_cut_within(1)


async def test_headers_that_drip_on_a_used_connection_are_cut_off_too(
    open_gateway: OpenGateway, scheduler: ScriptedScheduler
) -> None:
    gateway = await open_gateway(header_timeout_seconds=0.5)
    async with wire_to(gateway.url) as wire:
        await wire.send(b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await wire.answer()).status == 200
        await wire.send(b"GET / HT")

        assert (await wire.answer()).status == 408


async def test_a_connection_that_says_nothing_is_closed(
    open_gateway: OpenGateway, scheduler: ScriptedScheduler
) -> None:
    gateway = await open_gateway(keepalive_seconds=0.5)
    async with wire_to(gateway.url) as wire:
        assert await wire.is_cut_within(2)


async def test_a_body_that_drips_is_cut_off(open_gateway: OpenGateway, scheduler: ScriptedScheduler) -> None:
    gateway = await open_gateway(body_timeout_seconds=0.5)
    tenant = await gateway.tenant()
    async with wire_to(gateway.url) as wire:
        await wire.send(head(tenant.key, f"Content-Length: {len(BODY)}") + BODY[:5])
        await asyncio.sleep(0.3)
        await wire.send(BODY[5:6])
        answer = await wire.answer()

        assert (answer.status, word_of(answer)) == (408, "request_timeout")
        assert await wire.is_cut_within(4)


async def test_a_request_that_is_cut_in_half_makes_no_job(
    gateway: RunningGateway, tenant: Tenant, scheduler: ScriptedScheduler, client: ApiClient
) -> None:
    async with wire_to(gateway.url) as wire:
        await wire.send(head(tenant.key, f"Content-Length: {len(BODY)}") + BODY[:-1])

    assert (await client.call("GET", JOBS)).body["total"] == 0
    assert not scheduler.submissions


async def test_a_header_and_body_in_pieces_are_put_together(gateway: RunningGateway, tenant: Tenant) -> None:
    request = head(tenant.key, f"Content-Length: {len(BODY)}") + BODY
    async with wire_to(gateway.url) as wire:
        for byte in request:
            await wire.send(bytes([byte]))
        answer = await wire.answer()

    assert answer.status == 201


async def test_requests_in_a_row_on_one_connection_are_answered_in_order(
    gateway: RunningGateway, tenant: Tenant
) -> None:
    one = head(tenant.key, f"Content-Length: {len(BODY)}", "X-Request-Id: one") + BODY
    two = head(tenant.key, "X-Request-Id: two", method="GET")
    async with wire_to(gateway.url) as wire:
        await wire.send(one + two)
        answers = [await wire.answer(), await wire.answer()]

    assert [(each.status, each.headers["x-request-id"]) for each in answers] == [(201, "one"), (200, "two")]


async def test_whoever_expects_to_continue_is_told_to(gateway: RunningGateway, tenant: Tenant) -> None:
    async with wire_to(gateway.url) as wire:
        await wire.send(head(tenant.key, f"Content-Length: {len(BODY)}", "Expect: 100-continue"))
        async with asyncio.timeout(5):
            assert (await wire.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        await wire.send(BODY)

        assert (await wire.answer()).status == 201


async def test_another_expectation_is_ignored(gateway: RunningGateway, tenant: Tenant) -> None:
    request = head(tenant.key, f"Content-Length: {len(BODY)}", "Expect: the-unexpected") + BODY

    assert (await answer_to(gateway, request)).status == 201


async def test_one_connection_too_many_is_refused_and_one_given_back_is_not(
    open_gateway: OpenGateway, scheduler: ScriptedScheduler
) -> None:
    gateway = await open_gateway(max_connections=8)
    await gateway.admin.session.close()
    held = [await asyncio.open_connection("127.0.0.1", gateway.settings.port) for _ in range(8)]
    async with wire_to(gateway.url) as wire:
        answer = await wire.answer()
        assert (answer.status, word_of(answer)) == (503, "unavailable")
        assert await wire.is_cut_within(1)
    for _, writer in held:
        writer.close()

    async with asyncio.timeout(5):
        while (await _probe(gateway)) != 200:
            await asyncio.sleep(0.02)


async def _probe(gateway: RunningGateway) -> int:
    return (await answer_to(gateway, b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n")).status


async def test_a_key_in_the_query_is_refused(gateway: RunningGateway, client: ApiClient) -> None:
    names = ("api_key=x", "access_token=x", "TOKEN=x", "page=glm_x", "a=%67lm_x", "key=x", "authorization=x")
    for query in names:
        assert (await client.call("GET", f"{JOBS}?{query}")).status == 401, query
        assert (await gateway.admin.call("GET", f"/admin/v1/accounts?{query}")).status == 401, query


async def test_without_a_valid_key_there_is_only_401(gateway: RunningGateway) -> None:
    headers = ("", "Bearer", "Bearer  ", "Basic Zm9vOmJhcg==", "Bearer a b", "Bearer glm_", "Bearer " + "x" * 4000)
    for header in headers:
        request = f"GET {JOBS} HTTP/1.1\r\nHost: a\r\nAuthorization: {header}\r\n\r\n"
        answer = await answer_to(gateway, request.encode())

        assert (answer.status, word_of(answer)) == (401, "unauthenticated"), header
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_authentication_comes_before_the_body_is_read(gateway: RunningGateway) -> None:
    answer = await answer_to(gateway, head("wrong", "Content-Length: 60000000"))

    assert answer.status == 401


async def test_guessing_keys_is_slowed_down(open_gateway: OpenGateway, scheduler: ScriptedScheduler) -> None:
    gateway = await open_gateway(auth_failures_per_minute=5)
    tenant = await gateway.tenant()
    async with ApiClient(gateway.url, tenant.key) as honest, ApiClient(gateway.url, "guess") as guessing:
        assert (await honest.call("GET", JOBS)).status == 200
        answers = [await guessing.call("GET", JOBS) for _ in range(8)]
        admin = [await guessing.call("GET", "/admin/v1/accounts")]
        assert (await honest.call("GET", JOBS)).status == 200

    assert [answer.status for answer in answers] == [401] * 4 + [429] * 4
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert admin[0].status == 429


async def test_a_request_id_is_kept_if_it_is_harmless(gateway: RunningGateway, tenant: Tenant) -> None:
    harmless = ("abc-DEF_123", "x" * 64)
    for given in (*harmless, "x" * 65, "a b", "a;b", "", "é"):
        lines = head(tenant.key, f"X-Request-Id: {given}", method="GET", path="/api/v1/nothing")
        answer = await answer_to(gateway, lines)
        shown: dict[str, Any] = msgspec.json.decode(answer.body)

        assert (answer.headers["x-request-id"] == given) is (given in harmless)
        assert shown["request_id"] == answer.headers["x-request-id"]
        assert shown["request_id"].isascii()


async def test_server_owned_fields_of_a_submission_change_nothing(client: ApiClient) -> None:
    answer = await client.call(
        "POST",
        JOBS,
        {
            "model": "m",
            "prompt": "p",
            "state": "succeeded",
            "status": "completed",
            "output": "free",
            "account": "other",
            "job_id": "0" * 32,
            "id": "x",
            "attempts": 9,
            "worker": "w",
            "created_at": "1970",
        },
    )
    document = await client.job(answer.body["job_id"])

    assert (document["status"], document["attempts"]) == ("pending", 0)
    assert "output" not in document
