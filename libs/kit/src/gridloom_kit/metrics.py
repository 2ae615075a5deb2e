"""The chassis' own metrics:

the bus, handlers, ticks and the process. A service's metrics stand in its own `metrics.py`.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

FAST_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

nats_connected = Gauge("gridloom_nats_connected", "1 while the connection to NATS stands")
nats_reconnects = Counter("gridloom_nats_reconnects", "Reconnections to NATS")
nats_errors = Counter("gridloom_nats_errors", "Errors reported by the NATS client", ["kind"])
messages_dropped = Counter("gridloom_messages_dropped", "Messages that could not be decoded or handled", ["reason"])
handler_seconds = Histogram("gridloom_handler_seconds", "Time to answer a request", ["channel"], buckets=FAST_SECONDS)
handler_faults = Counter("gridloom_handler_faults", "Requests answered with a fault", ["channel", "code"])
consumed = Counter("gridloom_messages_consumed", "JetStream messages by how they ended", ["stream", "ending"])
publish_seconds = Histogram(
    "gridloom_nats_publish_seconds", "Time until JetStream stored a batch", buckets=FAST_SECONDS
)
publish_refused = Counter("gridloom_nats_publish_refused", "Messages that JetStream did not store")
tick_seconds = Histogram("gridloom_tick_seconds", "Time of one run of a tick", ["tick"], buckets=FAST_SECONDS)
tick_errors = Counter("gridloom_tick_errors", "Runs of a tick that failed", ["tick"])
transfers = Counter("gridloom_transfers", "Objects stored and read by presigned URLs", ["op", "code"])
loop_lag_seconds = Gauge("gridloom_event_loop_lag_seconds", "How late the event loop woke up last")
build_info = Gauge("gridloom_build_info", "1, with what runs as labels", ["service", "version"])
