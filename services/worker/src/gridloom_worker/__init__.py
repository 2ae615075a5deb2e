"""Runs Gridloom jobs on an engine, anywhere NATS can be reached."""
