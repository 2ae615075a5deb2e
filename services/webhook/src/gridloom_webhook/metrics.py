"""The webhook service's metrics (OPS §3.2)."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

RESULTS = ("2xx", "3xx", "4xx", "5xx", "timeout", "dns", "tls", "connection", "blocked")
EVENTS = ("completed", "start", "output", "logs")
_LAG_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0, 14_400.0, 86_400.0)

attempts = Counter("gridloom_webhook_attempts", "Requests sent, by how they ended", ["event", "result"])
delivery_lag_seconds = Histogram(
    "gridloom_webhook_delivery_lag_seconds", "Time from a job's end to the receiver's 2xx", buckets=_LAG_SECONDS
)
first_attempt_seconds = Histogram(
    "gridloom_webhook_first_attempt_seconds", "Time from a job's end to the first request", buckets=_LAG_SECONDS
)
pending = Gauge("gridloom_webhook_pending", "Deliveries that wait for an attempt, up to 10,000")
dead = Counter("gridloom_webhook_dead", "Deliveries given up")
endpoints_disabled = Gauge("gridloom_webhook_endpoints_disabled", "Endpoints that are not called any more")
throttled = Counter("gridloom_webhook_throttled", "Intermediate events overtaken or left out")
in_flight = Gauge("gridloom_webhook_in_flight", "Requests under way")
unrenderable = Counter(
    "gridloom_webhook_unrenderable", "Ended jobs whose document could not be had, so that nothing is sent"
)

for _event in EVENTS:
    for _result in RESULTS:
        attempts.labels(_event, _result)
