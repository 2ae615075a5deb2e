"""The scheduler's metrics (names of OPS §3.2). The label `model` is a registered model's name or `other`."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from gridloom_contract.vocabulary import State

OTHER = "other"
_WAIT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0)

jobs_submitted = Counter("gridloom_jobs_submitted", "Jobs accepted", ["model", "kind"])
jobs_terminal = Counter("gridloom_jobs_terminal", "Jobs that ended", ["model", "outcome", "fault"])
job_attempts = Counter("gridloom_job_attempts", "Attempts that ended without an answer", ["reason"])
queue_wait_seconds = Histogram(
    "gridloom_queue_wait_seconds", "Time from being queued to being claimed", ["model"], buckets=_WAIT_SECONDS
)
queue_depth = Gauge("gridloom_queue_depth", "Jobs that wait for a worker, up to 10,000", ["model"])
leases_expired = Counter("gridloom_leases_expired", "Jobs taken back from silent workers")
ends_foretold_in_vain = Counter(
    "gridloom_ends_foretold_in_vain", "Ends that were told and then not stored, since the job had changed meanwhile"
)
results_rejected = Counter("gridloom_worker_results_rejected", "Reports that changed nothing", ["reason"])
outbox_pending = Gauge("gridloom_outbox_pending", "Jobs with facts not yet known to be on the bus, up to 10,000")
workers = Gauge("gridloom_workers", "Workers by state", ["state"])
shards_held = Gauge("gridloom_scheduler_shards", "Shards of the fleet this replica looks after")
counts_replaced = Counter("gridloom_token_counts_replaced", "Workers' token counts that could not be true", ["type"])
jobs_held = Counter("gridloom_jobs_held", "Times that jobs were held back", ["reason"])
grants_not_answered = Counter("gridloom_quota_grants_not_answered", "Requests for budgets that nobody answered")
orders_unsent = Counter("gridloom_orders_unsent", "Work orders that JetStream did not store")
orders_repeated = Counter("gridloom_orders_repeated", "Work orders sent again that JetStream did not take or forgot")
enclosing_failures = Counter("gridloom_enclosing_failures", "Questions for URLs that the blob service did not answer")

WORKER_STATES = ("online", "draining", "offline", "revoked")
STALE_LEASE = "stale_lease"

for _state in WORKER_STATES:
    workers.labels(_state)
for _outcome in (State.SUCCEEDED, State.FAILED, State.CANCELED):
    jobs_terminal.labels(OTHER, str(_outcome), "")
results_rejected.labels(STALE_LEASE)
