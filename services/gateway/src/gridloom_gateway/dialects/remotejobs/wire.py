"""The remote jobs API as it is spelled on the wire (seeds/001; API.md §1.2)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

APP = "gridrepublic:text-inference"
MAX_COPIES = 16
MAX_HOURS = 168
MAX_INPUTS = 1_000
MAX_IDS = 100

JobId = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"}, description="UTC, seconds, `+00:00`.")]
Input = Annotated[str, Meta(min_length=1)]
CommandText = Annotated[
    str,
    Meta(
        description='JSON in a string: an object with the prompts, `{"inputs": ["…"]}`.',
        examples=['{"inputs": ["When does 1+1=10?"] }'],
    ),
]


class SubmitJob(Struct, frozen=True, kw_only=True, rename="camel"):
    """Prompts for the model `tag`. Fields that are not named here are ignored.

    The job may run for `hours`. Each of the `copies` has an id of its own.
    """

    app: Literal["gridrepublic:text-inference"]
    command_line: CommandText
    tag: Annotated[str, Meta(min_length=1, max_length=256, examples=["llama3:8b"])]
    hours: Annotated[float, Meta(gt=0, le=MAX_HOURS)] | None = None
    copies: Annotated[int, Meta(ge=1, le=MAX_COPIES)] | None = None


class CommandLine(Struct, frozen=True, kw_only=True):
    """What a command line holds: prompts, answered one after the other."""

    inputs: Annotated[list[Input], Meta(min_length=1, max_length=MAX_INPUTS)]


class Submitted(Struct, frozen=True, kw_only=True):
    """The job is recorded, one id for each copy."""

    success: Literal[True] = True
    ids: list[JobId]


class State(Struct, frozen=True, kw_only=True, rename="camel"):
    """How far the job is. `log` is what it has said so far, and only grows; `error` tells why it failed."""

    status: str
    output_files: list[str]
    log: str
    command_line: str
    app: str
    error: str | UnsetType = UNSET


class States(Struct, frozen=True, kw_only=True):
    """The states of a job's machines, of which there is one."""

    default: State


class Job(Struct, frozen=True, kw_only=True, rename="camel"):
    """A job. `runtime` is in whole seconds since it started."""

    vm_status: str
    states: States
    created: Moment
    copy: int
    tag: str
    runtime: int


class Jobs(Struct, frozen=True, kw_only=True):
    """Those of the jobs that were asked for that there are, by their ids."""

    success: Literal[True] = True
    jobs: dict[str, Job]


class Failure(Struct, frozen=True, kw_only=True):
    """What went wrong."""

    success: Literal[False] = False
    error: str
