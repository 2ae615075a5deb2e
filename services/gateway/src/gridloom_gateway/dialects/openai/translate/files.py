"""Files in OpenAI's words."""

from __future__ import annotations

from typing import Final

from gridloom_contract.files import FileEntry, FilePage, ListFiles
from gridloom_domain import ids
from gridloom_domain.errors import NotFound
from gridloom_gateway.dialects.openai.wire import files as shown

BATCH_INPUT: Final = "batch"
BATCH_OUTPUT: Final = "batch_output"
KEEP_SECONDS: Final = 30 * 86_400.0
"""How long files are kept that say nothing of it, as OpenAI keeps those of batches."""
_PREFIX: Final = "file-"


def file_name(file: str) -> str:
    """Return a file's id as it is shown."""
    return _PREFIX + ids.as_base32(file)


def to_file_id(text: str) -> str:
    """Return the core's id. Raises the same `NotFound` as for a file that does not exist."""
    try:
        return ids.from_base32(text.removeprefix(_PREFIX) if text.startswith(_PREFIX) else "")
    except ValueError:
        raise NotFound("there is no such file") from None


def from_entry(entry: FileEntry) -> shown.FileDocument:
    """Return the file as its owner sees it."""
    return shown.FileDocument(
        id=file_name(entry.file),
        bytes=entry.size_bytes,
        created_at=int(entry.created_at.timestamp()),
        expires_at=int(entry.expires_at.timestamp()),
        filename=entry.name,
        purpose=entry.label,
    )


def to_listing(query: shown.ListQuery, account: str) -> ListFiles:
    """Return the question for one page."""
    return ListFiles(
        account=account,
        limit=min(query.limit, shown.MAX_PER_PAGE),
        after=None if query.after is None else to_file_id(query.after),
        label=query.purpose,
        oldest_first=query.order == "asc",
    )


def from_page(page: FilePage) -> shown.FileList:
    """Return one page of a listing."""
    data = [from_entry(entry) for entry in page.files]
    return shown.FileList(
        data=data,
        has_more=page.has_more,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
    )
