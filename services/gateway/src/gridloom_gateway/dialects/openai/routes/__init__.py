"""The routes of the OpenAI surface: decode, translate, ask the desk, translate, encode."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from gridloom_contract.fault import FaultError
from gridloom_domain import ids
from gridloom_gateway import replies
from gridloom_gateway.dialects.openai.routes import batches, files, inference, jobs, later, models, responses
from gridloom_gateway.dialects.openai.routes.answering import Answering, AsTold
from gridloom_gateway.dialects.openai.routes.outputs import Outputs
from gridloom_gateway.dialects.openai.sse import JOB_HEADER
from gridloom_gateway.dialects.openai.translate.faults import HTTP, JobFailed, from_error, should_retry
from gridloom_gateway.dialects.openai.translate.requests import DIALECT
from gridloom_gateway.dialects.openai.wire.errors import Error
from gridloom_gateway.route import Audience, Dialect
from gridloom_gateway.supplies import Supplies

NAME: Final = DIALECT

_RETRY_AFTER_MS: Final = "Retry-After-Ms"
_SHOULD_RETRY: Final = "X-Should-Retry"


def dialect(supplies: Supplies) -> Dialect:
    """Return the OpenAI surface as a value."""
    desk, bodies, terms = supplies.desk, supplies.bodies, supplies.terms
    outputs = Outputs(desk, terms.stall_seconds)
    answering = Answering(desk, AsTold(outputs), terms)
    responding = Answering(desk, responses.AsResponse(outputs), terms)
    return Dialect(
        name=NAME,
        audience=Audience.ACCOUNT,
        routes=(
            *models.routes(models.Models(desk)),
            *inference.routes(inference.Inference(answering, bodies)),
            *responses.routes(responses.Responses(responding, bodies)),
            *jobs.routes(jobs.Jobs(desk, outputs)),
            *batches.routes(batches.BatchRoutes(desk, supplies.batches, supplies.library, bodies, supplies.clock)),
            *files.routes(files.FileRoutes(desk, supplies.library, bodies, terms)),
            *later.routes(),
        ),
        render=render,
        statuses=HTTP,
        error=Error,
    )


def render(error: FaultError, _request_id: str) -> web.Response:
    """Return an error in both shapes, with what OpenAI's clients want to know before they try again."""
    fault = error.fault
    response = replies.error(from_error(error), HTTP[fault.code], fault)
    response.headers[_SHOULD_RETRY] = should_retry(fault)
    if fault.retry_after_seconds is not None:
        response.headers[_RETRY_AFTER_MS] = str(round(fault.retry_after_seconds * 1000))
    if isinstance(error, JobFailed):
        response.headers[JOB_HEADER] = ids.as_base32(error.job)
    return response
