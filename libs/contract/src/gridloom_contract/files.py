"""Files that belong to an account, not to a job: what it uploads for its batches, and what they leave."""

from __future__ import annotations

from gridloom_contract.base import Instant, Message


class CreateFile(Message, frozen=True, kw_only=True, omit_defaults=True, tag="file.create.1"):
    """Gateway to blob: a place for a file of exactly `size_bytes`. `file` is minted by the sender.

    Sent again before it is confirmed, it gives another URL to the same place. `label` is what the dialect calls its
    purpose. One that `is_result` is not refused for its size: the work is done.

    Faults: `too_large`, `rate_limited` (the account keeps too much), `conflict` (the id is taken).
    """

    file: str
    account: str
    name: str
    label: str
    size_bytes: int
    keep_seconds: float
    is_result: bool = False


class FileSlot(Message, frozen=True, kw_only=True, omit_defaults=True, tag="file.slot.1"):
    """Answer to `CreateFile`. Without `upload_url` the file is there already."""

    file: str
    upload_url: str | None = None


class GetFile(Message, frozen=True, kw_only=True, omit_defaults=True, tag="file.get.1"):
    """Gateway to blob: the file, if this account has it, with a URL to read it.

    The first question after the upload confirms it: until then the file is in no list.
    Faults: `not_found`, `conflict` (nothing, or something else, was uploaded).
    """

    file: str
    account: str


class FileEntry(Message, frozen=True, kw_only=True, omit_defaults=True, tag="file.entry.1"):
    """A file. `url` serves it for a quarter of an hour."""

    file: str
    name: str
    label: str
    size_bytes: int
    created_at: Instant
    expires_at: Instant
    url: str | None = None


class ListFiles(Message, frozen=True, kw_only=True, omit_defaults=True, tag="files.list.1"):
    """Gateway to blob: an account's files, newest first, those after the file `after` if it is given."""

    account: str
    limit: int = 100
    after: str | None = None
    label: str | None = None
    oldest_first: bool = False


class FilePage(Message, frozen=True, kw_only=True, omit_defaults=True, tag="files.page.1"):
    """Answer to `ListFiles`."""

    files: tuple[FileEntry, ...]
    has_more: bool = False


class DeleteFile(Message, frozen=True, kw_only=True, omit_defaults=True, tag="file.delete.1"):
    """Gateway to blob: delete the file. Fault `not_found`. Answered by the `FileEntry` that it was."""

    file: str
    account: str
