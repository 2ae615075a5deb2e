"""The `gridloom` command: one module a group of commands."""
