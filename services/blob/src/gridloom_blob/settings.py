"""The blob service's settings: `GRIDLOOM_BLOB_<FIELD>`. Each says its unit and why it is what it is."""

from __future__ import annotations

from gridloom_kit.settings import ServiceSettings


class Settings(ServiceSettings, frozen=True, kw_only=True):
    """What an operator may choose."""

    mongo_url: str
    """Where the record is, with this service's own user."""

    mongo_database: str = "gridloom"
    """The database of `blobs` and `ended_jobs`."""

    s3_endpoint_url: str
    s3_access_key: str
    s3_secret_key: str
    s3_region: str = "us-east-1"
    s3_bucket: str = "gridloom"
    """Any S3, and a private bucket there that holds nothing else."""

    s3_public_url: str = ""
    """How clients and workers reach the same S3, if not by the endpoint: presigned URLs begin with it."""

    s3_timeout_seconds: float = 10.0
    """How long one call may take; longer is as good as down."""

    upload_seconds: int = 900
    """How long an upload URL is valid, and a job held for it (seeds/000: 15 minutes)."""

    max_image_bytes: int = 26_214_400
    """The largest image (25 MiB)."""

    max_object_bytes: int = 67_108_864
    """The largest task or output (64 MiB, what a request body may have)."""

    max_file_bytes: int = 536_870_912
    """The largest file of an account (512 MiB, as OpenAI's). What its batches leave is never refused."""

    max_account_bytes: int = 10_737_418_240
    """What an account may keep if its plan does not say (10 GiB). Outputs count, but are never refused."""

    max_account_objects: int = 50_000
    """How many objects it may keep."""

    max_open_slots: int = 100
    """How many of them may wait for their upload."""

    max_job_files: int = 16
    """How many files a job may have: a work order with all their URLs must fit into a message."""

    orphan_seconds: float = 3600.0
    """How long a reserved object waits for its job."""

    late_upload_seconds: float = 3600.0
    """How long an upload may still run after its URL expired: S3 looks at the clock only when it begins."""

    settle_seconds: float = 120.0
    """What one call at work may take at most: a slot lives so much longer, and objects are deleted again after it."""

    recheck_seconds: float = 604_800.0
    """How often an attached object's job is asked whether it still refers to it (a week): normally its end is told."""

    sweep_seconds: float = 60.0
    """How often what is due is looked at."""

    retention_days: float = 30.0
    """How long inputs and outputs of ended jobs are kept if the account's plan does not say."""

    retention_sweep_seconds: float = 3600.0
    """How often ended jobs are searched for those older than that."""
