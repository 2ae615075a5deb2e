"""The gateway's own metrics."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from gridloom_kit.metrics import FAST_SECONDS

request_seconds = Histogram(
    "http_server_request_duration_seconds",
    "Time to answer a request; of a stream, until it ended",
    ["route", "method", "code"],
    buckets=FAST_SECONDS,
)
active_requests = Gauge("http_server_active_requests", "Requests being answered")
connections_open = Gauge("http_server_open_connections", "Open client connections")
connections_refused = Counter("gridloom_connections_refused", "Connections and requests cut off", ["reason"])
streams_open = Gauge("gridloom_streams_open", "Open event streams")
auth_failures = Counter("gridloom_auth_failures", "Requests refused for their credentials", ["reason"])
rate_limited = Counter("gridloom_rate_limited", "Calls refused because their key makes too many", ["group"])
replayed_answers = Counter("gridloom_replayed_answers", "Answers to a request that had been made before")
submit_batch_jobs = Histogram(
    "gridloom_submit_batch_jobs", "Jobs handed to the scheduler at once", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
large_submissions = Counter("gridloom_large_submissions", "Submissions whose task went to the object store")
submit_retries = Counter("gridloom_submit_retries", "Batches offered again because the scheduler did not answer")
