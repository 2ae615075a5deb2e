"""Lines of OpenAI's batch files: what is wrong with them, the jobs they ask for, and how their results are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from gridloom_contract.batches import Batch, BatchError
from gridloom_contract.fault import Fault, FaultCode, FaultError
from gridloom_contract.jobs import Job, Submission, Task
from gridloom_contract.vocabulary import Kind, State
from gridloom_domain import ids
from gridloom_domain.batch import LINE_PRIORITY, MOST_LINES
from gridloom_domain.errors import Invalid
from gridloom_domain.job import Reason
from gridloom_gateway.clerk.language import Result
from gridloom_gateway.clerk.lines import MOST_LINE_BYTES, Line
from gridloom_gateway.dialects.openai.translate.faults import HTTP, failure_of, from_fault
from gridloom_gateway.dialects.openai.translate.files import BATCH_OUTPUT
from gridloom_gateway.dialects.openai.translate.jobs import result_of
from gridloom_gateway.dialects.openai.translate.requests import Wish, to_submission, to_wish
from gridloom_gateway.dialects.openai.translate.responses.requests import RESPONSE
from gridloom_gateway.dialects.openai.translate.responses.requests import to_wish as to_response_wish
from gridloom_gateway.dialects.openai.wire import requests
from gridloom_gateway.dialects.openai.wire.batches import FileLine
from gridloom_gateway.dialects.openai.wire.responses import CreateResponse
from gridloom_gateway.people import Caller
from gridloom_gateway.reading import invalid

Json = dict[str, Any]

_OK: Final = 200
_MOST_ERRORS: Final = 50
_LONGEST_MODEL: Final = 256
_INTERRUPTIONS: Final = {
    Reason.USER: ("batch_cancelled", "the batch was cancelled before the line was carried out"),
    Reason.DEADLINE: ("batch_expired", "the batch expired before the line was carried out"),
}

_line = msgspec.json.Decoder(FileLine)


class _Response(Struct, frozen=True, kw_only=True):
    status_code: int
    request_id: str
    body: Raw


class _Error(Struct, frozen=True, kw_only=True):
    code: str
    message: str


class _ResultLine(Struct, frozen=True, kw_only=True):
    id: str
    custom_id: str
    response: _Response | None
    error: _Error | None


class Interrupted(FaultError):
    """The line never became a job."""


def wish_of(endpoint: str, body: Json) -> Wish:
    """Return what a body asks for at an endpoint, for later. Raises `Invalid`, naming the field."""
    if endpoint not in ENDPOINTS:
        raise Invalid(f"{endpoint[:200]!r} cannot be asked in a batch: {', '.join(ENDPOINTS)} can", "endpoint")
    try:
        return ENDPOINTS[endpoint](body | {"async": True})
    except msgspec.ValidationError as error:
        raise invalid(error) from None


def to_line_submission(
    wish: Wish, caller: Caller, place: tuple[str, int], until: datetime | None, *, is_listed: bool = True
) -> Submission:
    """Return the job at a place of a batch: served last, its id derived from the batch and the place."""
    batch, number = place
    submission = to_submission(wish, caller, ids.derived(batch, number), None, 0.0)
    return msgspec.structs.replace(
        submission, priority=LINE_PRIORITY, batch=True, parent=batch, listed=is_listed, deadline_at=until
    )


class Inspection:
    """Looks at the lines of one file. Each has a `custom_id` of its own and asks what the batch says."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._errors: list[BatchError] = []
        self._seen: set[str] = set()
        self._models: set[str] = set()
        self.total = 0

    @property
    def model(self) -> str | None:
        """The model that all lines name."""
        return next(iter(self._models)) if len(self._models) == 1 else None

    def take(self, lines: Sequence[Line]) -> None:
        """Look at further lines."""
        self.total += len(lines)
        for line in lines:
            if len(self._errors) < _MOST_ERRORS:
                self._look(line)

    def errors(self) -> tuple[BatchError, ...]:
        """Return what is wrong, the first of many."""
        if self.total == 0:
            return (BatchError(code="empty_file", message="the input file has no lines", param="input_file_id"),)
        if self.total > MOST_LINES:
            message = f"the input file has {self.total} lines, {MOST_LINES} are the most"
            return (BatchError(code="too_many_tasks", message=message, param="input_file_id"),)
        return tuple(self._errors)

    def _look(self, line: Line) -> None:
        if line.is_too_long:
            self._refuse(line, "line_too_long", f"a line has at most {MOST_LINE_BYTES} bytes", None)
            return
        try:
            found = _line.decode(line.text)
        except msgspec.ValidationError as error:
            refused = invalid(error).fault
            self._refuse(line, "invalid_request", refused.message, refused.field)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._refuse(line, "invalid_json_line", "this line is not parseable as valid JSON", None)
        else:
            self._judge(line, found)

    def _judge(self, line: Line, found: FileLine) -> None:
        problems = (
            (found.custom_id in self._seen, "duplicate_custom_id", "the custom_id is not the only one", "custom_id"),
            (found.method != "POST", "invalid_method", "the method must be POST", "method"),
            (found.url not in ENDPOINTS, "invalid_url", "the url cannot be asked in a batch", "url"),
            (found.url != self._endpoint, "mismatched_endpoint", "the url is not the endpoint of the batch", "url"),
        )
        self._seen.add(found.custom_id)
        if len(self._models) <= 1:
            self._models.add(str(found.body.get("model"))[:_LONGEST_MODEL])
        for is_so, code, message, param in problems:
            if is_so:
                self._refuse(line, code, message, param)
                return

    def _refuse(self, line: Line, code: str, message: str, param: str | None) -> None:
        self._errors.append(BatchError(code=code, message=message, line=line.number, param=param))


class BatchLanguage:
    """How OpenAI's batches are written: what the clerk has to know of them."""

    result_label = BATCH_OUTPUT

    def keep_seconds(self, batch: Batch) -> float | None:
        """Return how long the files that the batch leaves are kept, if its owner said so."""
        return batch.echo.get("keep_seconds")

    def inspection(self, batch: Batch) -> Inspection:
        """Return what looks at the lines of the batch."""
        return Inspection(batch.echo["endpoint"])

    def submission(self, batch: Batch, line: Line) -> Submission:
        """Return the job of a line. Raises `Invalid` for a body that asks for nothing."""
        found = _line.decode(line.text)
        caller = Caller(account=batch.account, kid=batch.key, scopes=frozenset())
        wish = wish_of(found.url, found.body)
        return to_line_submission(wish, caller, (batch.batch, line.number), batch.expires_at, is_listed=False)

    def result(self, batch: Batch, line: Line, outcome: Job | FaultError) -> Result:
        """Return the line of the output or the error file."""
        name = ids.as_base32(ids.derived(batch.batch, line.number))
        found = _line.decode(line.text)
        response, error = _told(outcome, name, found)
        text = msgspec.json.encode(
            _ResultLine(id=f"batch_req_{name}", custom_id=found.custom_id, response=response, error=error)
        )
        return Result(text, is_answer=response is not None and response.status_code == _OK)

    def interrupted(self, batch: Batch) -> FaultError:
        """Return why a line of the batch never became a job."""
        reason = Reason.DEADLINE if batch.cancel_requested_at is None else Reason.USER
        code, message = _INTERRUPTIONS[reason]
        return Interrupted(Fault(code=FaultCode.CONFLICT, message=message, field=code))


def _chat(body: Json) -> Wish:
    return to_wish(Kind.CHAT, msgspec.convert(body, requests.ChatRequest), body)


def _completion(body: Json) -> Wish:
    return to_wish(Kind.COMPLETION, msgspec.convert(body, requests.CompletionRequest), body)


def _embedding(body: Json) -> Wish:
    return to_wish(Kind.EMBEDDING, msgspec.convert(body, requests.EmbeddingRequest), body)


def _response(body: Json) -> Wish:
    return to_response_wish(msgspec.convert(body, CreateResponse), body)


ENDPOINTS: Final[dict[str, Callable[[Json], Wish]]] = {
    "/v1/chat/completions": _chat,
    "/v1/completions": _completion,
    "/v1/embeddings": _embedding,
    "/v1/responses": _response,
}


def _told(outcome: Job | FaultError, name: str, asked: FileLine) -> tuple[_Response | None, _Error | None]:
    if isinstance(outcome, Interrupted):
        return None, _Error(code=outcome.fault.field or "", message=outcome.fault.message)
    if isinstance(outcome, FaultError):
        return _refusal(outcome.fault, name), None
    if outcome.state is State.CANCELED and outcome.reason in _INTERRUPTIONS:
        code, message = _INTERRUPTIONS[Reason(outcome.reason)]
        return None, _Error(code=code, message=message)
    if outcome.state is not State.SUCCEEDED:
        return _refusal(failure_of(outcome).fault, name), None
    try:
        wish = wish_of(asked.url, asked.body)
        job = msgspec.structs.replace(outcome, task=Task(kind=wish.kind, raw=wish.raw))
        body = Raw(result_of(job, wish.kept.get(RESPONSE)))
        return _Response(status_code=_OK, request_id=name, body=body), None
    except FaultError as error:
        return _refusal(error.fault, name), None


def _refusal(fault: Fault, name: str) -> _Response:
    body = Raw(msgspec.json.encode(from_fault(fault)))
    return _Response(status_code=HTTP[fault.code], request_id=name, body=body)
