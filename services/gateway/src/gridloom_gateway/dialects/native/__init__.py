"""S0, the native API: /api/v1 (API.md §1.1)."""
