"""Tells the outside world how jobs ended: signed callbacks that are retried for days and never lost."""
