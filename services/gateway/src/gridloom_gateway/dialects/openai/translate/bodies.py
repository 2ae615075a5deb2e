"""Whole answers: the engine's own words with our names before them. What is not changed is not decoded."""

from __future__ import annotations

import sys
from array import array
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

from gridloom_contract.fault import Fault, FaultCode, FaultError
from gridloom_contract.jobs import Job
from gridloom_contract.vocabulary import Kind, Usage
from gridloom_domain.completions import body_in
from gridloom_gateway.dialects.openai.translate.names import Names, names_of

Json = dict[str, Any]

_SPACE: Final = " \t\r\n"
_PACKED: Final = '"embedding":"'
_PLAIN: Final = '"embedding":['
_MISFIT: Final = {"float": _PACKED, "base64": _PLAIN}
"""What a body must not have that was asked for in this format."""
_FLOAT: Final = "f"
_COUNTED: Final = '"usage":{'


def body_of(job: Job) -> bytes:
    """Return the answer of a job that succeeded and whose output is at hand. Raises `FaultError` for what is none."""
    output = job.output or ""
    if job.task.raw is None:
        return spliced(names_of(job).of_body(), msgspec.json.encode(plain_body(job)).decode())
    return spliced(names_of(job).of_body(), counted(job, as_asked(job, output)))


def as_asked(job: Job, output: str) -> str:
    """Return an output in the format that was asked for: some engines know only one for vectors."""
    wanted = str((job.task.raw or {}).get("encoding_format"))
    misfit = _MISFIT.get(wanted) if job.task.kind is Kind.EMBEDDING else None
    return output if misfit is None or misfit not in output else reformatted(output, wanted)


def counted(job: Job, output: str) -> str:
    """Return an output with its tokens, as the grid counted them if the engine did not."""
    if _COUNTED in output or job.usage is None:
        return output
    body = _object(output)
    return msgspec.json.encode(body | {"usage": body.get("usage") or usage_of(job.usage)}).decode()


def must_be_whole(job: Job) -> bool:
    """Say whether the answer can be given only once all of it is there: others are passed on as they come."""
    return job.task.raw is None or job.task.kind is Kind.EMBEDDING


async def named(names: Names, pieces: AsyncIterator[str]) -> AsyncIterator[bytes]:
    """Yield a body that comes in pieces, with its names. Raises `FaultError` before the first if it is none."""
    beginning: str | None = ""
    async for piece in pieces:
        if beginning is None:
            yield piece.encode()
            continue
        beginning += piece
        if len(beginning.strip(_SPACE)) > 1:
            yield spliced(names.of_body(), beginning)
            beginning = None


def spliced(opening: str, body: str) -> bytes:
    """Return the JSON object `body` with fields before its own: `opening` is an object up to a comma after them."""
    inside = body.lstrip(_SPACE)
    if not inside.startswith("{"):
        raise _no_body()
    rest = inside[1:].lstrip(_SPACE)
    return (opening[:-1] + rest if rest.startswith("}") else opening + rest).encode()


def plain_body(job: Job) -> Json:
    """Return the body that an answer makes which is only text: another API asked for it."""
    said = {
        Kind.COMPLETION: {"text": job.output or ""},
    }.get(job.task.kind, {"message": {"role": "assistant", "content": job.output or ""}})
    choice = {"index": 0, **said, "finish_reason": job.finish_reason or "stop"}
    return {"choices": [choice], **({"usage": usage_of(job.usage)} if job.usage else {})}


def usage_of(usage: Usage | None) -> Json | None:
    """Return tokens as they were counted by the grid, for engines that do not count."""
    if usage is None:
        return None
    total = usage.tokens_in + usage.tokens_out
    return {"prompt_tokens": usage.tokens_in, "completion_tokens": usage.tokens_out, "total_tokens": total}


def reformatted(output: str, wanted: str) -> str:
    """Return a body of vectors with each as `wanted`: `float` or `base64`."""
    try:
        body = msgspec.json.decode(output)
        for item in body["data"]:
            item["embedding"] = _FORMATS[wanted](item["embedding"])
        return msgspec.json.encode(body).decode()
    except (msgspec.DecodeError, RecursionError, Base64Error, LookupError, TypeError, ValueError) as error:
        message = "the engine's vectors cannot be read"
        raise FaultError(Fault(code=FaultCode.BAD_OUTPUT, message=message)) from error


def _object(output: str) -> Json:
    body = body_in(output)
    if body is None:
        raise _no_body()
    return body


def _no_body() -> FaultError:
    return FaultError(Fault(code=FaultCode.BAD_OUTPUT, message="the answer is no JSON object"))


def _packed(vector: list[float] | str) -> str:
    if isinstance(vector, str):
        return vector
    return b2a_base64(_little_endian(array(_FLOAT, vector)).tobytes(), newline=False).decode()


def _unpacked(vector: list[float] | str) -> list[float]:
    if not isinstance(vector, str):
        return vector
    values = array(_FLOAT)
    values.frombytes(a2b_base64(vector, strict_mode=True))
    return _little_endian(values).tolist()


def _little_endian(values: array[float]) -> array[float]:
    """OpenAI packs little-endian numbers, whatever the machine has."""
    if sys.byteorder == "big":
        values.byteswap()
    return values


_FORMATS: Final = {"float": _unpacked, "base64": _packed}
