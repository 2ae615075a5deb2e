"""The webhook service's settings: `GRIDLOOM_WEBHOOK_<FIELD>`. Each says its unit and why it is what it is."""

from __future__ import annotations

from gridloom_kit.settings import ServiceSettings


class Settings(ServiceSettings, frozen=True, kw_only=True):
    """What an operator may choose."""

    mongo_url: str
    """Where the record is, with the webhook service's own user."""

    mongo_database: str = "gridloom"
    """The database of `subscriptions`, `deliveries`, `webhook_secrets` and `endpoints`."""

    master_key: str
    """64 hexadecimal digits: opens the API keys that the gateway seals, and seals the accounts' signing secrets."""

    schedule_seconds: tuple[float, ...] = (0, 5, 30, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
    """The pause before each attempt, ±20 %: the Standard Webhooks schedule and a second early try, some three days."""

    connect_seconds: float = 5.0
    total_seconds: float = 15.0
    """How long a receiver may take to be reached, and to answer."""

    progress_total_seconds: float = 5.0
    """The same for intermediate events, which nobody waits for."""

    disable_after_seconds: float = 432_000.0
    """An endpoint that accepted nothing for so long (five days) is disabled."""

    max_in_flight: int = 1024
    """Requests under way at a time; at most three quarters of them to receivers that have not yet shown to be well."""

    max_per_account: int = 64
    max_per_endpoint: int = 4
    """Requests under way at a time for one account, and for one account and origin."""

    breaker_failures: int = 3
    breaker_seconds: float = 30.0
    breaker_most_seconds: float = 300.0
    """After so many failures in a row an origin is left alone, then probed; the pause doubles up to the most."""

    lease_seconds: float = 40.0
    """How long a delivery belongs to the replica that sends it: longer than an attempt takes, short after a crash."""

    sweep_seconds: float = 10.0
    """How often the record is searched for deliveries that no timer of this replica knows of."""

    retention_seconds: float = 2_592_000.0
    """How long ended deliveries are kept for the log and for replays (thirty days)."""

    allow_private: bool = False
    """Whether http, any port, this machine and private networks may be called. For tests and the demo only."""

    allowed_ports: tuple[int, ...] = (80, 443, 8443)
    own_hosts: tuple[str, ...] = ()
    """Ports that may be called, and the grid's own names, which may not."""

    denied_networks: tuple[str, ...] = ()
    """Further networks that may not be called, as `address/bits`."""

    dns_servers: tuple[str, ...] = ()
    """Name servers to ask instead of the system's, as `address` or `address:port`."""
