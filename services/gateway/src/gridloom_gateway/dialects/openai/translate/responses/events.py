"""The stream of a response: frames become events, each item opened, grown and closed."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gridloom_contract.fault import Fault
from gridloom_contract.vocabulary import State
from gridloom_domain.completions import choices_of, said_in
from gridloom_gateway import sse
from gridloom_gateway.dialects.openai.sse import SIGN_OF_LIFE
from gridloom_gateway.dialects.openai.translate.bodies import usage_of
from gridloom_gateway.dialects.openai.translate.faults import CUT_OFF, failure_of
from gridloom_gateway.dialects.openai.translate.responses.growing import GrowingCall, GrowingText, Told
from gridloom_gateway.dialects.openai.translate.responses.items import Item, Teller
from gridloom_gateway.updates import Closing, Ended, Moved, Said, Silent, StartedOver, Update, id_of

Json = dict[str, Any]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Json).decode


class ResponseEvents:
    """One reader's stream. `of` returns what it gets to see of an update; `is_over` once nothing may follow."""

    def __init__(self, teller: Teller) -> None:
        self.is_over = False
        self._teller = teller
        self._number = 0
        self._items: list[Item] = []
        self._open: GrowingText | GrowingCall | None = None
        self._finish_reason: str | None = None
        self._usage: Any = None

    def opening(self) -> bytes:
        """Return what can be said before the engine says anything."""
        begun = self._teller.begun()
        return self._events([("response.created", {"response": begun}), ("response.in_progress", {"response": begun})])

    def of(self, update: Update) -> bytes:
        """Return the events for one update; none after the last."""
        events: bytes = b"" if self.is_over else getattr(self, EVENTS[type(update)])(update)
        return events

    def _said(self, said: Said) -> bytes:
        events = self._events([event for frame in said.frames for event in self._heard(_decode(frame.line))])
        return f"id: {id_of(said)}\n".encode() + events if events else b""

    def _heard(self, frame: Json) -> list[Told]:
        self._usage = frame.get("usage") or self._usage
        events: list[Told] = []
        text = said_in(frame)
        if text:
            events += self._grown_text(text)
        for choice in choices_of(frame):
            if choice.get("index", 0) == 0:
                self._finish_reason = choice.get("finish_reason") or self._finish_reason
                events += [event for call in _calls_in(choice) for event in self._grown_call(call)]
        return events

    def _grown_text(self, text: str) -> list[Told]:
        if isinstance(self._open, GrowingText):
            return self._open.grow(text)
        closing = self._close()
        self._open = GrowingText(self._teller, len(self._items))
        return [*closing, *self._open.opening(), *self._open.grow(text)]

    def _grown_call(self, call: Json) -> list[Told]:
        if isinstance(self._open, GrowingCall) and self._open.is_part(call):
            return self._open.grow(call)
        closing = self._close()
        self._open = GrowingCall(self._teller, len(self._items), call)
        return [*closing, *self._open.opening(), *self._open.grow(call)]

    def _close(self) -> list[Told]:
        if self._open is None:
            return []
        growing, self._open = self._open, None
        self._items.append(growing.item("completed"))
        return growing.closing()

    def _started_over(self, _over: StartedOver) -> bytes:
        return self._failed(CUT_OFF)

    def _ended(self, ended: Ended) -> bytes:
        if ended.job.state is not State.SUCCEEDED:
            return self._failed(failure_of(ended.job).fault)
        self.is_over = True
        opening = [] if self._open or self._items else self._grown_text("")
        closing = self._close()
        usage = self._usage or usage_of(ended.job.usage)
        whole = self._teller.ended(self._items, self._finish_reason, usage)
        return self._events([*opening, *closing, (f"response.{whole.status}", {"response": whole})])

    def _failed(self, fault: Fault) -> bytes:
        self.is_over = True
        half = [self._open.item("incomplete")] if self._open else []
        failed = self._teller.failed([*self._items, *half], fault)
        return self._events([("response.failed", {"response": failed})])

    def _moved(self, _moved: Moved) -> bytes:
        return b""

    def _silent(self, _silent: Silent) -> bytes:
        return SIGN_OF_LIFE

    def _closing(self, _closing: Closing) -> bytes:
        self.is_over = True
        return b""

    def _events(self, told: list[Told]) -> bytes:
        return b"".join([self._event(*event) for event in told])

    def _event(self, name: str, fields: Json) -> bytes:
        content = _encode({"type": name, "sequence_number": self._number, **fields})
        self._number += 1
        return b"event: %b\ndata: %b\n\n" % (name.encode(), sse.on_one_line(content))


EVENTS: Final[dict[type[Update], str]] = {
    Moved: "_moved",
    Said: "_said",
    StartedOver: "_started_over",
    Ended: "_ended",
    Silent: "_silent",
    Closing: "_closing",
}


def _calls_in(choice: Json) -> list[Json]:
    delta = choice.get("delta", choice.get("message"))
    calls = delta.get("tool_calls") if isinstance(delta, dict) else None
    return [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
