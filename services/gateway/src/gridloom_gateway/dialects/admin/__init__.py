"""The operator's API: /admin/v1."""
