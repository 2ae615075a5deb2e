"""An answer that starts over: OpenAI's stream cannot take anything back, so the new one must say the same again.

It does so where the engine is sure of itself (a temperature of 0, a seed). Then the reader notices nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from gridloom_contract.fault import Fault, FaultCode, FaultError
from gridloom_domain.completions import choices_of, said_in
from gridloom_gateway.transcript import Print

Json = dict[str, Any]

_TEXTS: Final = ('"content":"', '"text":"')
_FIRST: Final = '"index":0'
_CALLS: Final = '"tool_calls":['

_decode = msgspec.json.Decoder(Json).decode


class Differs(FaultError):
    """What was said cannot be taken back."""

    def __init__(self) -> None:
        message = "the answer was cut off, and began differently when it was given again"
        super().__init__(Fault(code=FaultCode.WORKER_LOST, message=message))


class CatchingUp:
    """What a reader was told. After `start_over`, `told` leaves out what it knows as long as it `is_behind`.

    Of a reader that resumes, only how many characters it has is known.
    """

    def __init__(self, known: int = 0) -> None:
        self.is_behind = False
        self._known = self._known_from = known
        self._heard = Print()
        self._repeated = Print()
        self._position = 0
        self._is_plain = True

    def told(self, text: str, lines: Sequence[str]) -> Sequence[str]:
        """Return what is new of these frames and the text in them. Raises `Differs`."""
        if self.is_behind:
            return [new for line in lines if (new := self._rest_of(line))]
        self._is_plain = self._is_plain and all(map(_is_plain, lines))
        self._known += len(text)
        self._heard.add(text)
        return lines

    def start_over(self) -> None:
        """Hear that the answer comes again from its beginning."""
        self._position, self._repeated = 0, Print()
        self.is_behind = self._known > 0 or not self._is_plain

    def _rest_of(self, line: str) -> str:
        frame = _decode(line)
        text = said_in(frame)
        if not self.is_behind:
            return "".join(self.told(text, (line,)))
        known = text[: self._known - self._position]
        self._repeated.add(known[max(0, self._known_from - self._position) :])
        self._position += len(known)
        is_short = self._position < self._known
        if not self._is_plain or (is_short and _has_ended(frame)):
            raise Differs
        if is_short:
            return ""
        return self._caught_up(frame, text[len(known) :])

    def _caught_up(self, frame: Json, new: str) -> str:
        if not self._repeated.is_same(self._heard):
            raise Differs
        self.is_behind = False
        line = _with_text(frame, new)
        return "".join(self.told(new, (line,)))


def _is_plain(line: str) -> bool:
    """Whether a frame only goes on with the text of the first choice: quotes within texts are always escaped."""
    return _FIRST in line and any(name in line for name in _TEXTS) and _CALLS not in line


def _has_ended(frame: Json) -> bool:
    return any(choice.get("finish_reason") for choice in choices_of(frame))


def _with_text(frame: Json, text: str) -> str:
    for choice in choices_of(frame):
        holder, name = (choice["delta"], "content") if isinstance(choice.get("delta"), dict) else (choice, "text")
        holder[name] = text
    return msgspec.json.encode(frame).decode()
