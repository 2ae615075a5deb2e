"""What answers: an engine takes an order, streams text and says how it ended."""
