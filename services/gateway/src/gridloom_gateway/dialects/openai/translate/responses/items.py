"""What an engine said, as the items of a response; and the response around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from gridloom_contract.fault import Fault, FaultCode
from gridloom_contract.jobs import Job
from gridloom_domain import ids
from gridloom_domain.completions import choices_of, text_of
from gridloom_gateway.dialects.openai.translate.bodies import usage_of
from gridloom_gateway.dialects.openai.translate.names import created
from gridloom_gateway.dialects.openai.wire import responses as wire

Json = dict[str, Any]
Item = wire.OutputMessage | wire.FunctionCall

_CUT_OFF: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why an answer that ended so is incomplete."""
TROUBLES: Final = dict.fromkeys(FaultCode, "server_error") | {
    FaultCode.RATE_LIMITED: "rate_limit_exceeded",
    FaultCode.INVALID: "invalid_prompt",
}
"""What OpenAI calls a failure of a response: another list than that of its errors, and closed."""


@dataclass(frozen=True)
class Teller:
    """Tells the response of one job. `repeated` is what it says of its request."""

    job: str
    model: str
    repeated: Json = field(default_factory=dict)

    def begun(self) -> wire.Response:
        """Return the response of which nothing is there yet."""
        return self._response("in_progress", [])

    def ended(self, items: Sequence[Item], finish_reason: str | None, usage: Json | None) -> wire.Response:
        """Return the response with all that was said."""
        reason = _CUT_OFF.get(finish_reason or "")
        return self._response(
            "incomplete" if reason else "completed",
            items,
            usage=from_usage(usage),
            incomplete_details=wire.Incomplete(reason=reason) if reason else None,
        )

    def failed(self, items: Sequence[Item], fault: Fault) -> wire.Response:
        """Return the response that did not come about."""
        return self._response("failed", items, error=wire.Trouble(code=TROUBLES[fault.code], message=fault.message))

    def message(self, place: int, text: str, status: str = "completed", logprobs: Any = None) -> wire.OutputMessage:
        """Return the item of a text."""
        said = wire.OutputText(text=text, logprobs=logprobs if isinstance(logprobs, list) else [])
        return wire.OutputMessage(id=self._name("msg", place), status=status, content=[said])

    def call(self, place: int, call: Json, status: str = "completed") -> wire.FunctionCall:
        """Return the item of a call."""
        function = call.get("function")
        told = function if isinstance(function, dict) else {}
        return wire.FunctionCall(
            id=self._name("fc", place),
            status=status,
            call_id=str(call.get("id") or self._name("call", place)),
            name=str(told.get("name") or ""),
            arguments=str(told.get("arguments") or ""),
        )

    def _name(self, prefix: str, place: int) -> str:
        return f"{prefix}_{ids.as_base32(self.job)}{place:02d}"

    def _response(self, status: Any, items: Sequence[Item], **more: Any) -> wire.Response:
        return wire.Response(
            id=f"resp_{ids.as_base32(self.job)}",
            created_at=created(self.job),
            model=self.model,
            status=status,
            output=list(items),
            **(self.repeated | more),
        )


def from_job(job: Job, repeated: Json) -> wire.Response:
    """Return the response of a job that succeeded."""
    body: Json = msgspec.json.decode(job.output or "{}")
    choice = next(iter(choices_of(body)), {})
    teller = Teller(job.job, job.model, repeated)
    usage = body.get("usage") or usage_of(job.usage)
    return teller.ended(_items_of(teller, body, choice), choice.get("finish_reason"), usage)


def from_usage(usage: Any) -> wire.ResponseUsage | None:
    """Return tokens; an engine may tell less, or nonsense."""
    if not isinstance(usage, dict):
        return None
    tokens_in, tokens_out = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    return wire.ResponseUsage(
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        total_tokens=tokens_in + tokens_out,
        input_tokens_details=wire.Count(cached_tokens=_count(usage.get("prompt_tokens_details"), "cached_tokens")),
        output_tokens_details=wire.Thought(
            reasoning_tokens=_count(usage.get("completion_tokens_details"), "reasoning_tokens")
        ),
    )


def _items_of(teller: Teller, body: Json, choice: Json) -> list[Item]:
    message = choice.get("message")
    calls = message.get("tool_calls") if isinstance(message, dict) else None
    text, logprobs = text_of(body), choice.get("logprobs")
    told = logprobs.get("content") if isinstance(logprobs, dict) else None
    items: list[Item] = [teller.message(0, text, logprobs=told)] if text or not calls else []
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict):
            items.append(teller.call(len(items), call))
    return items


def _count(counts: Any, name: str) -> int:
    found = counts.get(name) if isinstance(counts, dict) else None
    return found if isinstance(found, int) else 0
