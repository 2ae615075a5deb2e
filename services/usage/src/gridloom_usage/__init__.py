"""Counts every ended job exactly once: a ledger line a job, and totals by day, tag, model and key."""
