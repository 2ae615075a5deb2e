"""Files of jobs in the native API."""
