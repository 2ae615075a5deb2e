"""Who may publish and subscribe what, derived from the registry. The NATS server enforces it."""

from __future__ import annotations

from dataclasses import dataclass

from gridloom_contract import subjects
from gridloom_contract.registry import CHANNELS, FACTS, GATEWAY, SCHEDULER
from gridloom_contract.streams import SHARD_BUCKET, STREAMS, TOKENS, WORK_STREAMS

JetStream = tuple[str, ...]

_STREAM_OWNER: JetStream = (
    "$JS.API.INFO",
    *(f"$JS.API.STREAM.{verb}.{stream.name}" for stream in STREAMS for verb in ("CREATE", "UPDATE", "INFO", "PURGE")),
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


def of_worker(worker: str) -> Permissions:
    """Return what one worker may do: its own reports, tokens, consumers and inbox, and not one subject more."""
    return Permissions(
        publish=(
            subjects.worker_hello(worker),
            subjects.worker_heartbeat(worker),
            subjects.worker_report(worker),
            subjects.worker_upload(worker),
            subjects.tokens(worker, "*"),
            *(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{worker}" for stream in WORK_STREAMS.values()),
            *(f"$JS.ACK.{stream}.{worker}.>" for stream in WORK_STREAMS.values()),
        ),
        subscribe=(subjects.control(worker), subjects.stop(worker), f"{worker_inbox(worker)}.>"),
        may_respond=False,
    )
