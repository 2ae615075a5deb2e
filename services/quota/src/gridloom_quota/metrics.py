"""The quota service's metrics (names of OPS §3.2)."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from gridloom_quota.rules.windows import WINDOWS

decisions = Counter("gridloom_quota_decisions", "Budgets asked for, by what came of it", ["decision", "reason"])
reserved_tokens = Gauge("gridloom_quota_reserved_tokens", "Tokens reserved for running jobs, in all accounts")
overshoot_tokens = Counter("gridloom_quota_overshoot_tokens", "Tokens by which accounts passed their limits")
conflicts = Counter("gridloom_quota_conflicts", "Changes decided again because another replica was faster")
rate_calls = Counter("gridloom_rate_calls", "Calls asked for by gateways", ["decision"])

GRANTED, UNLIMITED, HELD, REFUSED = "granted", "unlimited", "held", "refused"

decisions.labels(GRANTED, "")
decisions.labels(UNLIMITED, "")
for _window in WINDOWS:
    decisions.labels(HELD, str(_window))
for _decision in (GRANTED, REFUSED):
    rate_calls.labels(_decision)
