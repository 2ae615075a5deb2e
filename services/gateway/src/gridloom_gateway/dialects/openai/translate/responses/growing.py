"""Items while they grow: a text, or a call with its arguments. Each tells events by name and fields."""

from __future__ import annotations

from typing import Any

from gridloom_gateway.dialects.openai.translate.responses.items import Teller
from gridloom_gateway.dialects.openai.wire import responses as wire

Json = dict[str, Any]
Told = tuple[str, Json]


class GrowingText:
    """A message."""

    def __init__(self, teller: Teller, place: int) -> None:
        self._teller = teller
        self._place = place
        self._pieces: list[str] = []
        self._where = {"item_id": teller.message(place, "").id, "output_index": place, "content_index": 0}

    def item(self, status: str) -> wire.OutputMessage:
        """Return what is there."""
        return self._teller.message(self._place, "".join(self._pieces), status)

    def opening(self) -> list[Told]:
        """Tell that there is a message, and a text in it."""
        empty = self._teller.message(self._place, "", "in_progress")
        nothing = wire.OutputMessage(id=empty.id, status=empty.status, content=[])
        return [
            ("response.output_item.added", {"output_index": self._place, "item": nothing}),
            ("response.content_part.added", {**self._where, "part": empty.content[0]}),
        ]

    def grow(self, text: str) -> list[Told]:
        """Tell more of the text."""
        self._pieces.append(text)
        return [("response.output_text.delta", {**self._where, "delta": text, "logprobs": []})] if text else []

    def closing(self) -> list[Told]:
        """Tell that this was all."""
        whole = self.item("completed")
        part = whole.content[0]
        return [
            ("response.output_text.done", {**self._where, "text": part.text, "logprobs": []}),
            ("response.content_part.done", {**self._where, "part": part}),
            ("response.output_item.done", {"output_index": self._place, "item": whole}),
        ]


class GrowingCall:
    """A call. `first` is the delta that opened it: it has the name."""

    def __init__(self, teller: Teller, place: int, first: Json) -> None:
        self._teller = teller
        self._place = place
        self._first = first
        self._pieces: list[str] = []
        self._where = {"item_id": teller.call(place, first).id, "output_index": place}

    def is_part(self, call: Json) -> bool:
        """Whether a delta goes on with this call; some engines give all calls the same index."""
        has_other_id = call.get("id") and self._first.get("id") and call["id"] != self._first["id"]
        return call.get("index", 0) == self._first.get("index", 0) and not has_other_id

    def item(self, status: str) -> wire.FunctionCall:
        """Return what is there."""
        return self._told("".join(self._pieces), status)

    def opening(self) -> list[Told]:
        """Tell that there is a call."""
        return [("response.output_item.added", {"output_index": self._place, "item": self._told("", "in_progress")})]

    def grow(self, call: Json) -> list[Told]:
        """Tell more of the arguments."""
        function = call.get("function")
        arguments = function.get("arguments") if isinstance(function, dict) else None
        if not isinstance(arguments, str) or not arguments:
            return []
        self._pieces.append(arguments)
        return [("response.function_call_arguments.delta", {**self._where, "delta": arguments})]

    def closing(self) -> list[Told]:
        """Tell that this was all."""
        whole = self.item("completed")
        done = {**self._where, "name": whole.name, "arguments": whole.arguments}
        return [
            ("response.function_call_arguments.done", done),
            ("response.output_item.done", {"output_index": self._place, "item": whole}),
        ]

    def _told(self, arguments: str, status: str) -> wire.FunctionCall:
        function = self._first.get("function")
        named = {**(function if isinstance(function, dict) else {}), "arguments": arguments}
        return self._teller.call(self._place, {**self._first, "function": named}, status)
