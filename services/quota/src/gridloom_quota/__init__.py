"""Plans, token quotas, grants and rate limits."""
