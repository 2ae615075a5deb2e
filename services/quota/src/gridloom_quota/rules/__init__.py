"""What the quota service decides, as pure functions: no I/O, no clock, no chance."""
