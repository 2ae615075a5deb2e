"""Images of a job become content parts of what its user said last."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import msgspec
import pytest

from gridloom_contract.fault import FaultCode, FaultError
from gridloom_contract.jobs import Task
from gridloom_contract.vocabulary import Kind
from gridloom_worker.engines.synthetic import sights
from gridloom_worker.images import Image, with_images

PICTURE = Image("image/png", b"\x89PNG\r\n\x1a\n\x00\xff")
PHOTO = Image("image/jpeg", b"\xff\xd8\xff\xe0")


def part_of(image: Image) -> dict[str, Any]:
    url = f"data:{image.content_type};base64,{b64encode(image.content).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def text(said: str) -> dict[str, str]:
    return {"type": "text", "text": said}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def messages_with(task: Task, *images: Image) -> list[dict[str, Any]]:
    return list(with_images(task, images).messages or ())


def test_a_prompt_becomes_a_message_with_the_images_after_the_text() -> None:
    assert messages_with(Task(prompt="What is this?"), PICTURE, PHOTO) == [
        user([text("What is this?"), part_of(PICTURE), part_of(PHOTO)])
    ]


def test_images_go_to_what_the_user_said_last() -> None:
    first, answer, last = user("Hello"), {"role": "assistant", "content": "Hi"}, user("Look:")

    assert messages_with(Task(messages=(first, answer, last)), PICTURE) == [
        first,
        answer,
        user([text("Look:"), part_of(PICTURE)]),
    ]


def test_parts_that_are_there_stay_before_the_images() -> None:
    parts = [text("a"), {"type": "input_audio", "input_audio": {}}]

    assert messages_with(Task(messages=(user(parts),)), PICTURE) == [user([*parts, part_of(PICTURE)])]


@pytest.mark.parametrize("content", [None, "", []])
def test_a_message_without_words_has_only_the_images(content: object) -> None:
    assert messages_with(Task(messages=(user(content),)), PICTURE) == [user([part_of(PICTURE)])]


def test_if_the_user_said_nothing_the_images_are_what_is_said() -> None:
    order = {"role": "system", "content": "Describe what you see"}

    assert messages_with(Task(messages=(order,)), PICTURE) == [order, user([part_of(PICTURE)])]


def test_everything_else_of_the_task_stays() -> None:
    task = Task(prompt="x", params={"max_tokens": 3})

    assert with_images(task, [PICTURE]).params == task.params


@pytest.mark.parametrize("told", [[user("Look:")], ["nonsense", user("Look:")]])
def test_images_go_into_the_messages_of_a_raw_task(told: list[Any]) -> None:
    task = with_images(Task(raw={"messages": told, "n": 1}), [PICTURE])

    assert task.raw == {"messages": (*told[:-1], user([text("Look:"), part_of(PICTURE)])), "n": 1}
    assert task.messages is None


@pytest.mark.parametrize("raw", [{}, {"messages": None}, {"messages": "nonsense"}])
def test_a_raw_task_without_messages_gets_one(raw: dict[str, Any]) -> None:
    assert with_images(Task(raw=raw), [PICTURE]).raw == {"messages": (user([part_of(PICTURE)]),)}


def test_a_completion_takes_no_images() -> None:
    with pytest.raises(FaultError) as error:
        with_images(Task(kind=Kind.COMPLETION, prompt="x"), [PICTURE])
    assert error.value.fault.code is FaultCode.INVALID


def test_the_synthetic_engine_tells_what_it_sees() -> None:
    task = with_images(Task(prompt="x"), [PICTURE, PHOTO])

    assert sights(task) == ["image/png of 10 bytes, crc32 df6c463c", "image/jpeg of 4 bytes, crc32 4ff5a26f"]


@pytest.mark.parametrize("holder", [None, "http://x/", {}, {"url": None}, {"url": "http://x/"}, {"url": "data:,x"}])
def test_the_synthetic_engine_sees_nothing_in_what_is_no_image(holder: object) -> None:
    task = Task(messages=(user([{"type": "image_url", "image_url": holder}, text("x"), 7]),))

    assert sights(msgspec.convert(msgspec.to_builtins(task), Task)) == []
