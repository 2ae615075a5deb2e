"""What usage accounting decides, as pure functions: no I/O, no clock."""
