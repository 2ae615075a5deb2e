"""The chassis every Gridloom service runs on: lifecycle, NATS, MongoDB, settings, logs, metrics."""
