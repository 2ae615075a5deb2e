"""The trace of a request goes on through everything it causes."""

from __future__ import annotations

import contextvars

from gridloom_kit.trace import continue_trace, current_traceparent, start_trace

SENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def in_a_fresh_task(check: object) -> None:
    contextvars.Context().run(check)  # type: ignore[arg-type]


def test_a_received_trace_is_continued_under_a_new_span() -> None:
    def check() -> None:
        assert continue_trace({"traceparent": SENT}) == "0af7651916cd43dd8448eb211c80319c"
        current = current_traceparent()
        assert current is not None
        assert current[:36] == SENT[:36]
        assert current[36:52] != SENT[36:52]
        assert current.endswith("-01")

    in_a_fresh_task(check)


def test_a_malformed_trace_is_ignored() -> None:
    def check() -> None:
        for header in ("", "nonsense", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "ff-" + SENT[3:]):
            assert continue_trace({"traceparent": header}) is None
        assert current_traceparent() is None

    in_a_fresh_task(check)


def test_a_new_trace_is_different_each_time() -> None:
    def check() -> None:
        assert start_trace() != start_trace()

    in_a_fresh_task(check)
