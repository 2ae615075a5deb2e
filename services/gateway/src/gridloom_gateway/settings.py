"""The gateway's settings. Names carry their unit; each has a reason beside it. `README.md` has the same table."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from gridloom_kit.settings import ServiceSettings

_MEBIBYTE = 1024 * 1024

Secret = Annotated[str, Meta(min_length=32)]
Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]


class Settings(ServiceSettings, frozen=True, kw_only=True):
    """Read once, in `__main__`."""

    api_key_pepper: Secret
    """Keys the verifiers of all API keys: the database alone checks no key. Changing it voids every key."""
    admin_key: Secret
    """The bearer key of `/admin/v1`."""

    webhook_master_key: Secret
    """64 hexadecimal digits, the webhook service's `master_key`: seals the API key that signs a job's webhooks."""
    webhook_allow_private: bool = False
    """Whether a `webhook_url` may be http, or name this machine or a private network. As the webhook service's."""
    webhook_allowed_ports: tuple[int, ...] = (80, 443, 8443)
    """Ports that a `webhook_url` may name. As the webhook service's."""

    mongo_url: str = "mongodb://127.0.0.1:27017"
    mongo_database: str = "gridloom"

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 8080
    """0 takes a free port."""
    public_base_url: str = ""
    """How clients reach the gateway, for absolute URLs. Empty: from the request's own headers."""
    mounts: tuple[str, ...] = ()
    """Host names of their own for public APIs: `host=dialect`, or `host/path=dialect` for this one place."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks (CIDR) whose `X-Forwarded-For`, `-Proto` and `-Host` are believed."""

    max_body_bytes: Count = 64 * _MEBIBYTE
    large_bodies_bytes: Count = 256 * _MEBIBYTE
    """How much of bodies over 512 KiB is in hand at once. What comes beyond waits a while, then gets a 503.

    In memory a body takes up to four times its size for a moment, more if its text needs wide characters.
    """
    header_timeout_seconds: Seconds = 10.0
    """A request line and headers must be there within this time of their first byte."""
    body_timeout_seconds: Seconds = 60.0
    keepalive_seconds: Seconds = 30.0
    max_connections: Count = 10_000

    submit_deadline_seconds: Seconds = 10.0
    """How long a submission is offered to a scheduler that does not answer, before the client gets a 503."""
    remotejobs_words: tuple[str, ...] = ()
    """Words for states in the remote jobs API that differ from ours: `claimed=booting`."""
    capacity_wait_seconds: Seconds = 60.0
    """How long a job waits for a worker where an API lets it fail with `no_capacity` (not the native one)."""
    max_file_bytes: Count = 512 * _MEBIBYTE
    """The largest file of `/v1/files`. The blob service has a limit of its own."""
    batch_lease_seconds: Seconds = 30.0
    """How long a batch waits for another gateway if the one that works on it is lost."""
    batch_files_kept_seconds: Seconds = 30 * 86_400.0
    """How long the files are kept that batches leave."""
    answer_timeout_seconds: Seconds = 5.0
    """How long any other question waits for the scheduler."""

    key_cache_seconds: Seconds = 30.0
    """How long a key is believed without asking the database; a revocation is broadcast and takes effect at once."""
    key_grace_seconds: Annotated[float, Meta(ge=0)] = 86_400.0
    """How long the old key works after a rotation."""
    auth_failures_per_minute: Count = 30
    """Failed authentications allowed from one address."""

    stream_heartbeat_seconds: Annotated[float, Meta(gt=0, le=10)] = 8.0
    """Longest silence of an open stream: a comment keeps proxies from closing it."""
    stream_recheck_seconds: Seconds = 15.0
    """A silent stream asks for its job this often, in case an event was lost."""
    stream_write_timeout_seconds: Seconds = 30.0
    """A reader that takes nothing for so long is disconnected."""
