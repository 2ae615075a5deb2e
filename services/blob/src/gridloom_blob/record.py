"""What the blob service remembers: objects in S3, and jobs that ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from gridloom_contract.blobs import Purpose

REF_PREFIX = "obj_"


class Phase(StrEnum):
    """How far an object is.

    open ──► sealed ──► attached      uploading; checked and beyond anybody's reach; its job refers to it
      └────────┴───────────┴──► doomed ──► gone
    """

    OPEN = "open"
    SEALED = "sealed"
    ATTACHED = "attached"
    DOOMED = "doomed"


@dataclass(frozen=True)
class Blob:
    """One object.

    `upload_key` is where its URL writes, `keys` are all keys under which bytes may lie, `key` is where they are once
    they are sealed. `size_bytes` is the most it may have until it is sealed. At `check_at` somebody looks at it again.
    A file of an account has a `name`, a `label` and an end, and no job: `job` is its own id.
    """

    id: str
    account: str
    job: str
    purpose: Purpose
    upload_key: str
    keys: tuple[str, ...]
    size_bytes: int
    created_at: datetime
    upload_until: datetime
    check_at: datetime
    phase: Phase = Phase.OPEN
    key: str | None = None
    content_type: str | None = None
    doomed_at: datetime | None = None
    why: str | None = None
    name: str | None = None
    label: str | None = None
    expires_at: datetime | None = None

    @property
    def ref(self) -> str:
        """What stands for it on the bus."""
        return REF_PREFIX + self.id

    @property
    def spare_keys(self) -> tuple[str, ...]:
        """All keys but the sealed one."""
        return tuple(key for key in self.keys if key != self.key)


@dataclass(frozen=True)
class EndedJob:
    """When a job ended last."""

    job: str
    account: str
    ended_at: datetime


@dataclass(frozen=True)
class Holdings:
    """What an account keeps; those that wait for their upload count with the most they may have."""

    objects: int = 0
    size_bytes: int = 0
    open_slots: int = 0


def id_of(ref: str) -> str:
    """Return the id of a ref; of what is no ref, nothing that anybody has."""
    return ref.removeprefix(REF_PREFIX) if ref.startswith(REF_PREFIX) else ""
