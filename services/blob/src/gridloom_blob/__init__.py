"""Keeps what is too large for the bus in S3: files of jobs, large tasks, large outputs."""
