"""/openapi.json says what is served, all of it and nothing else; /docs needs nothing from elsewhere."""

from __future__ import annotations

import re
from typing import Any

import jsonschema

from gridloom_contract.fleet import ModelEntry, WorkerEntry
from gridloom_domain import ids
from gridloom_testing.builders import a_job_id
from gridloom_testing.clients import JOBS, ApiClient
from integration.gateway.conftest import RunningGateway, Tenant
from integration.gateway.scripted import ScriptedScheduler

ADMIN = "/admin/v1"


async def described(gateway: RunningGateway) -> dict[str, Any]:
    body: dict[str, Any] = (await gateway.ask("GET", "/openapi.json")).body
    return body


async def test_every_described_route_is_served(gateway: RunningGateway, client: ApiClient) -> None:
    document = await described(gateway)

    for path, operations in document["paths"].items():
        filled = re.sub(r"\{\w+\}", "unknown", path)
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            caller = gateway.admin if path.startswith(ADMIN) else client
            answer = await caller.call(method, filled)
            is_described = method.lower() in operations
            assert is_described == (answer.status != 405), (method, path, answer.status)
            allowed = {word.strip().lower() for word in answer.headers.get("Allow", "").split(",")}
            assert is_described or allowed == set(operations), (method, path, allowed)
            if is_described and answer.status == 404:
                assert "there is no such route" not in str(answer.body), (method, path)


async def test_the_main_answers_are_what_is_described(
    gateway: RunningGateway, client: ApiClient, scheduler: ScriptedScheduler, tenant: Tenant
) -> None:
    document = await described(gateway)
    scheduler.models.append(ModelEntry(model="m", family="m"))
    scheduler.workers.append(WorkerEntry(worker="w1", name="w", state="online"))
    job, unknown = await client.submit(tag="t"), ids.as_uuid(a_job_id())
    account, kid = tenant.account, tenant.kid
    calls: list[tuple[ApiClient, str, str, dict[str, str], Any]] = [
        (client, "POST", JOBS, {}, {"model": "m", "prompt": "p"}),
        (client, "POST", JOBS, {}, {"model": "m"}),
        (client, "GET", JOBS, {}, None),
        (client, "GET", f"{JOBS}/{{id}}", {"id": job}, None),
        (client, "GET", f"{JOBS}/{{id}}", {"id": unknown}, None),
        (client, "PATCH", f"{JOBS}/{{id}}/priority", {"id": job}, {"priority": 3}),
        (client, "GET", f"{JOBS}/{{id}}/timeline", {"id": job}, None),
        (client, "POST", f"{JOBS}/{{id}}/retry", {"id": job}, None),
        (client, "DELETE", f"{JOBS}/{{id}}", {"id": job}, None),
        (client, "POST", f"{JOBS}/{{id}}/cancel", {"id": job}, None),
        (client, "DELETE", f"{JOBS}/cancel_all", {}, None),
        (client, "GET", "/api/v1/models", {}, None),
        (gateway.admin, "POST", f"{ADMIN}/accounts", {}, {"name": "n"}),
        (gateway.admin, "GET", f"{ADMIN}/accounts", {}, None),
        (gateway.admin, "GET", f"{ADMIN}/accounts/{{account}}", {"account": account}, None),
        (gateway.admin, "POST", f"{ADMIN}/accounts/{{account}}/keys", {"account": account}, {}),
        (gateway.admin, "GET", f"{ADMIN}/accounts/{{account}}/keys", {"account": account}, None),
        (gateway.admin, "POST", f"{ADMIN}/keys/{{kid}}/rotate", {"kid": kid}, None),
        (gateway.admin, "DELETE", f"{ADMIN}/keys/{{kid}}", {"kid": kid}, None),
        (gateway.admin, "POST", f"{ADMIN}/workers", {}, {"name": "w"}),
        (gateway.admin, "GET", f"{ADMIN}/workers", {}, None),
        (client, "GET", f"{ADMIN}/accounts", {}, None),
    ]

    for caller, method, path, names, body in calls:
        answer = await caller.call(method, path.format(**names), body)
        responses = document["paths"][path][method.lower()]["responses"]
        assert str(answer.status) in responses, (method, path, answer.status, answer.body)
        schema = responses[str(answer.status)]["content"]["application/json"]["schema"]
        jsonschema.validate(answer.body, schema | {"components": document["components"]})


async def test_the_description_is_sound(gateway: RunningGateway) -> None:
    document = await described(gateway)
    operations = [one for path in document["paths"].values() for one in path.values()]

    assert document["openapi"] == "3.1.0"
    assert len({one["operationId"] for one in operations}) == len(operations)
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for reference in re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', str(document).replace("'", '"')):
        assert reference in document["components"]["schemas"]


async def test_an_upload_is_described_as_the_form_that_it_is(gateway: RunningGateway) -> None:
    document = await described(gateway)
    body = document["paths"]["/v1/files"]["post"]["requestBody"]["content"]
    [(media, form)] = body.items()
    schema = document["components"]["schemas"][form["schema"]["$ref"].rpartition("/")[2]]
    assert media == "multipart/form-data"
    assert set(schema["required"]) == {"purpose", "file"}
    assert schema["properties"]["file"]["format"] == "binary"
    assert {"expires_after[anchor]", "expires_after[seconds]"} < set(schema["properties"])


async def test_the_page_comes_with_everything_it_needs(gateway: RunningGateway) -> None:
    async with gateway.admin.session.get("/docs") as answer:
        page, policy = await answer.text(), answer.headers["Content-Security-Policy"]
    needed = re.findall(r'(?:src|href)="([^"]+)"', page)

    assert "default-src 'none'" in policy
    assert "unsafe" not in policy.replace("'unsafe-hashes'", "")
    assert not re.search(r"<script>|<style>| on\w+=| style=", page)
    assert all(one.startswith("/docs/") for one in needed)
    async with gateway.admin.session.get("/docs/swagger-ui-bundle.js") as answer:
        assert "oas31" in await answer.text(), "this Swagger UI cannot show what we describe"
    for one in needed:
        async with gateway.admin.session.get(one) as answer:
            assert answer.status == 200
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
