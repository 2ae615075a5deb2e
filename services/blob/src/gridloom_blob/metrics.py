"""The blob service's metrics (names of OPS §3.2)."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_S3_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_RESULTS = ("confirmed", "missing", "too_large", "not_an_image", "too_late", "unavailable")
WHYS = ("expired", "missing", "orphan", "late", "retention")

presigned = Counter("gridloom_blob_presign", "URLs signed", ["op"])
s3_request_seconds = Histogram(
    "gridloom_s3_request_duration_seconds", "Time of a call to S3", ["op", "code"], buckets=_S3_SECONDS
)
orphans = Gauge("gridloom_blob_orphans", "Objects past their time that the sweep has not dealt with yet, up to 10,000")
confirms = Counter("gridloom_blob_confirms", "Uploads looked at, by how that ended", ["result"])
swept = Counter("gridloom_blob_swept", "Objects given up, by the reason", ["why"])
unjudged = Counter("gridloom_blob_unjudged", "Looks at an object that S3 or the scheduler did not allow")
jobs_purged = Counter("gridloom_blob_jobs_purged", "Ended jobs whose inputs and outputs were removed")

for _op in ("put", "get"):
    presigned.labels(_op)
for _result in _RESULTS:
    confirms.labels(_result)
for _why in WHYS:
    swept.labels(_why)
