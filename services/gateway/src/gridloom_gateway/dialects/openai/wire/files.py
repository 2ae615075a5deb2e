"""Files, as OpenAI shows them."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

PER_PAGE = 10_000
MAX_PER_PAGE = 1_000
OCTETS: Final = "application/octet-stream"

FileId = Annotated[str, Meta(pattern="^file-[a-z2-7]{26}$")]
Seconds = Annotated[int, Meta(description="Seconds since 1970.")]


class ListQuery(Struct, frozen=True, kw_only=True):
    """Filters of a listing, and where it goes on."""

    after: str | None = None
    limit: Annotated[int, Meta(ge=1, le=PER_PAGE)] = PER_PAGE
    order: Literal["asc", "desc"] = "desc"
    purpose: str | None = None


class Upload(Struct, frozen=True, kw_only=True):
    """What a form says of its file. `expires_after[seconds]` runs from the upload."""

    purpose: Literal["batch"]
    anchor: Literal["created_at"] | UnsetType = field(name="expires_after[anchor]", default=UNSET)
    seconds: Annotated[int, Meta(ge=3_600, le=2_592_000)] | UnsetType = field(
        name="expires_after[seconds]", default=UNSET
    )


class UploadForm(Upload, frozen=True, kw_only=True):
    """A file and what is said of it."""

    file: Annotated[str, Meta(min_length=1, extra_json_schema={"format": "binary", "contentMediaType": OCTETS})]


class FileDocument(Struct, frozen=True, kw_only=True):
    """A file."""

    id: FileId
    bytes: int
    created_at: Seconds
    expires_at: Seconds
    filename: str
    purpose: str
    object: Literal["file"] = "file"
    status: Literal["processed"] = "processed"


class FileList(Struct, frozen=True, kw_only=True):
    """One page of files."""

    data: list[FileDocument]
    has_more: bool
    first_id: str | None
    last_id: str | None
    object: Literal["list"] = "list"


class FileDeleted(Struct, frozen=True, kw_only=True):
    """The file is gone."""

    id: FileId
    deleted: bool = True
    object: Literal["file"] = "file"
