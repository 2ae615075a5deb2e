"""Who may publish and subscribe what, derived from the registry. The NATS server enforces it.

Services and workers live in two accounts. Nothing crosses but what `BORDER` lists.
"""

from __future__ import annotations

from dataclasses import dataclass

from gridloom_contract import subjects
from gridloom_contract.registry import CHANNELS, FACTS, GATEWAY, SCHEDULER, WORKER
from gridloom_contract.streams import LANES, SHARD_BUCKET, STREAMS, TOKENS, WORK_STREAMS

SERVICES_ACCOUNT = "APP"
"""Where the services and JetStream are."""
WORKERS_ACCOUNT = "WORKERS"
"""Where the workers are, with nothing of JetStream."""

JetStream = tuple[str, ...]

_STREAM_OWNER: JetStream = (
    "$JS.API.INFO",
    *(f"$JS.API.STREAM.{verb}.{stream.name}" for stream in STREAMS for verb in ("CREATE", "UPDATE", "INFO", "PURGE")),
    *(f"$JS.API.STREAM.DELETE.{stream.name}" for stream in STREAMS if stream.is_rebuilt),
    *(f"$JS.API.CONSUMER.{verb}.{name}.>" for name in WORK_STREAMS.values() for verb in ("CREATE", "DELETE", "INFO")),
    f"$JS.API.DIRECT.GET.KV_{SHARD_BUCKET}.>",
    f"$JS.API.STREAM.MSG.GET.KV_{SHARD_BUCKET}",
    f"$KV.{SHARD_BUCKET}.>",
)

JETSTREAM_RIGHTS: dict[str, JetStream] = {
    SCHEDULER: _STREAM_OWNER,
    GATEWAY: (f"$JS.API.DIRECT.GET.{TOKENS}", f"$JS.API.DIRECT.GET.{TOKENS}.>"),
}
"""What each service may ask of JetStream itself: only the scheduler makes streams and consumers."""


@dataclass(frozen=True)
class Permissions:
    """Allow-lists of one NATS user. `may_respond` lets it publish once to the reply subject of what it received."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    may_respond: bool = True


def service_inbox(service: str) -> str:
    """The prefix of a service's own inboxes: nobody else may subscribe there."""
    return f"_INBOX.{service}"


def worker_inbox(worker: str) -> str:
    """The prefix of a worker's own inboxes."""
    return f"_INBOX.w.{worker}"


def of_service(service: str) -> Permissions:
    """Return what the NATS user of `service` may do: its channels in the registry, its inbox, its JetStream rights."""
    publish = tuple(channel.subject for channel in CHANNELS if service in channel.senders)
    subscribe = tuple(channel.subject for channel in CHANNELS if service in channel.hearers)
    if all(service in channel.hearers for channel in FACTS.values()):
        subscribe += ("event.*.*",)  # following one job takes one subscription instead of nine
    return Permissions(
        publish=(*publish, *JETSTREAM_RIGHTS.get(service, ()), *_consumer_rights(service)),
        subscribe=(*subscribe, f"{service_inbox(service)}.>"),
    )


def _consumer_rights(service: str) -> JetStream:
    """A service has one durable consumer a stream, named after itself: it makes it, pulls from it and acknowledges."""
    names = sorted({channel.stream for channel in CHANNELS if channel.stream and service in channel.consumers})
    verbs = ("CREATE", "INFO", "MSG.NEXT")
    pulls = (f"$JS.API.CONSUMER.{verb}.{name}.{service}" for name in names for verb in verbs)
    return (*pulls, *(f"$JS.ACK.{name}.{service}.>" for name in names))


@dataclass(frozen=True)
class Border:
    """What crosses between the two accounts; a `*` stands for any worker.

    JetStream answers an acknowledgement on whatever subject it names. So acknowledgements are asked for across the
    border as a service: the server puts a reply subject of its own in place of the worker's. What else workers say
    crosses as it is, for whoever answers it looks at where (`gridloom_kit.rpc`).
    """

    said_by_workers: tuple[str, ...]
    heard_by_workers: tuple[str, ...]
    acknowledgements: tuple[str, ...]
    service: str
    """All acknowledgements, as the one service that there is."""


BORDER = Border(
    said_by_workers=tuple(channel.subject for channel in CHANNELS if WORKER in channel.senders),
    heard_by_workers=(
        *(channel.subject for channel in CHANNELS if WORKER in channel.hearers),
        f"{worker_inbox('*')}.>",
    ),
    acknowledgements=tuple(f"$JS.ACK.{stream}.*.>" for stream in WORK_STREAMS.values()),
    service="$JS.ACK.>",
)


def of_worker(worker: str) -> Permissions:
    """Return what one worker may do: its own reports, tokens, orders and inbox, and not one subject more."""
    return Permissions(
        publish=(
            subjects.worker_hello(worker),
            subjects.worker_heartbeat(worker),
            subjects.worker_report(worker),
            subjects.worker_upload(worker),
            subjects.tokens(worker, "*"),
            *(f"$JS.ACK.{stream}.{worker}.>" for stream in WORK_STREAMS.values()),
        ),
        subscribe=(
            subjects.control(worker),
            subjects.stop(worker),
            *(subjects.order(worker, lane) for lane in LANES),
            f"{worker_inbox(worker)}.>",
        ),
        may_respond=False,
    )
