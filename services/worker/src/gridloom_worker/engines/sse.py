"""Server-sent events out of a byte stream, whatever its chunks, line ends and comments (WHATWG HTML §9.2.6)."""

from __future__ import annotations

from typing import NamedTuple

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class SseEvent(NamedTuple):
    """One event: its name (empty if it has none) and its data lines, joined by newlines."""

    name: bytes
    data: bytes


class SseOverflow(Exception):
    """A line or an event was longer than the limit; nothing after it can be trusted."""


class SseParser:
    """Feed it bytes as they come; the events do not depend on how they were cut.

    Holds at most `max_event_bytes` and the bytes just fed. A stream that ends without its last blank line still gives
    its last event: many engines stop so.
    """

    def __init__(self, max_event_bytes: int) -> None:
        self._max_event_bytes = max_event_bytes
        self._rest = b""
        self._swallow_newline = False
        self._is_first_line = True
        self._name = b""
        self._data: list[bytes] = []
        self._held_bytes = 0

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """Return the events that `chunk` completes. Raises `SseOverflow`."""
        if self._swallow_newline and chunk:
            chunk = chunk.removeprefix(b"\n")  # the other half of a CRLF that was cut in two
            self._swallow_newline = False
        if not chunk:
            return []
        self._swallow_newline = chunk.endswith(b"\r")
        lines = (self._rest + chunk).splitlines(keepends=True)
        self._rest = b"" if lines[-1].endswith((b"\n", b"\r")) else lines.pop()
        events = [event for line in lines if (event := self._line(line.rstrip(b"\r\n")))]
        if len(self._rest) > self._max_event_bytes:
            raise SseOverflow(f"a line of more than {self._max_event_bytes} bytes")
        return events

    def close(self) -> list[SseEvent]:
        """Return what the end of the stream completes."""
        last = [self._line(self._rest)] if self._rest else []
        self._rest = b""
        return [event for event in (*last, self._dispatch()) if event]

    def _line(self, line: bytes) -> SseEvent | None:
        if self._is_first_line:
            line = line.removeprefix(_BYTE_ORDER_MARK)
            self._is_first_line = False
        if not line:
            return self._dispatch()
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._hold(value)
        elif field == b"event":
            self._name = value
        elif field == b"error":  # not in the standard, but said by engines that fail in mid-stream
            self._name = field
            self._hold(value)
        return None

    def _hold(self, value: bytes) -> None:
        self._held_bytes += len(value)
        if self._held_bytes > self._max_event_bytes:
            raise SseOverflow(f"an event of more than {self._max_event_bytes} bytes")
        self._data.append(value)

    def _dispatch(self) -> SseEvent | None:
        event = SseEvent(self._name, b"\n".join(self._data)) if self._data else None
        self._name = b""
        self._data = []
        self._held_bytes = 0
        return event
