"""The whole examination: the machine always, the stack where one runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial

from gridloom_local import plan
from gridloom_local.doctor import bus, database, objects
from gridloom_local.doctor.findings import Check, Finding, examine, judge
from gridloom_local.doctor.machine import machine_findings
from gridloom_local.enrolment import Keys, read_keys
from gridloom_local.facts import Facts, read_facts
from gridloom_local.home import Home
from gridloom_local.leftovers import running_supervisor
from gridloom_local.ports import remembered_ports
from gridloom_local.readiness import accepts, probe
from gridloom_local.secrets import Secrets, load_or_create
from gridloom_local.servers import LOOPBACK


async def examine_all(home: Home) -> list[Finding]:
    """Return every finding about this machine and, if a stack runs in `home`, about that."""
    facts = read_facts(home) if running_supervisor(home) else None
    findings = await machine_findings(home, is_running=facts is not None)
    if facts is not None:
        findings += _ports(home)
        for name, check in _stack_checks(home, facts).items():
            findings += await examine(name, check, f"see `gridloom status` and the logs in {home.logs}")
    return findings


def _ports(home: Home) -> list[Finding]:
    silent = [name for name, port in remembered_ports(home.ports_file).items() if not accepts(port)()]
    details = f"nobody listens for {', '.join(silent)}" if silent else "every port of the stack answers"
    return [judge("ports", not silent, details, "see `gridloom status`, then the log of that process")]


def _stack_checks(home: Home, facts: Facts) -> dict[str, Check]:
    ports, secrets = remembered_ports(home.ports_file), load_or_create(home.secrets_file)
    return (
        _bus_checks(facts, ports, secrets, read_keys(home.keys_file))
        | {
            "MongoDB": partial(database.database_findings, facts.mongo_url),
            "S3": partial(
                objects.objects_findings,
                f"http://{LOOPBACK}:{ports[plan.S3]}",
                secrets.s3_access_key,
                secrets.s3_secret_key,
            ),
        }
        | {f"{name} probes": partial(_probes, name, ports[f"{name}_internal"]) for name in plan.SERVICES}
    )


def _bus_checks(facts: Facts, ports: Mapping[str, int], secrets: Secrets, keys: Keys) -> dict[str, Check]:
    monitoring = f"http://{LOOPBACK}:{ports['nats_monitoring']}"
    return {
        "NATS server": partial(bus.server_findings, monitoring),
        "JetStream streams": partial(bus.stream_findings, facts.nats_url, secrets.nats_passwords),
        "NATS rights of services": partial(bus.service_findings, facts.nats_url, secrets.nats_passwords),
        "NATS rights of workers": partial(bus.worker_findings, facts.nats_url, keys.worker, keys.worker_token),
    }


async def _probes(name: str, port: int) -> list[Finding]:
    (alive, _), (ready, reason) = [await asyncio.to_thread(probe, port, path) for path in ("/livez", "/readyz")]
    details = f"/livez {alive}, /readyz {ready}" + (f": {reason[:200]}" if ready != 200 else "")
    return [judge(f"{name} is ready", (alive, ready) == (200, 200), details, f"read the {name}'s log")]
