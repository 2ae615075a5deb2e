"""The blob service's collections: `blobs` (objects) and `ended_jobs` (whose data is kept for a while)."""
