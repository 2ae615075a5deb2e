"""Adding up the pieces of a JSON value that arrives in deltas. Pure: what is handed in is never changed.

Pieces of a text are gathered and joined once, in the end: joining them one by one costs the square of the length.
"""

from __future__ import annotations

from typing import Any, Final

_WHOLE: Final = frozenset({"role", "id", "type", "name", "format", "index"})
"""Texts that come in one piece; an engine that says them again repeats itself."""


class _Text(list[str]):
    """A text in pieces."""


class _List(list[Any]):
    """A list of our own, to be changed."""


class _Object(dict[str, Any]):
    """An object of our own, to be changed."""


def merged(known: Any, new: Any, name: str, *, joins: bool) -> Any:
    """Return what is known of the field `name` once `new` is added; `joined` makes it a value again.

    Nothing (None) adds nothing. Objects are merged field by field, lists item by item if their items have an `index`,
    else one after the other. Of other values the later holds, but texts are joined if this field `joins` them.
    """
    if new is None or known is None:
        return known if new is None else new
    if isinstance(known, dict) and isinstance(new, dict):
        return _merged_objects(known, new, joins=joins)
    if isinstance(known, _Text | str) and isinstance(new, str):
        return _merged_texts(known, new) if joins and name not in _WHOLE else new or known
    if isinstance(known, list) and isinstance(new, list):
        return _merged_lists(known, new, joins=joins)
    return new


def joined(value: Any) -> Any:
    """Return the value that the pieces make."""
    if isinstance(value, _Text):
        return "".join(value)
    if isinstance(value, _List):
        return [joined(item) for item in value]
    if isinstance(value, _Object):
        return {name: joined(item) for name, item in value.items()}
    return value


def _merged_texts(known: _Text | str, new: str) -> _Text:
    pieces = known if isinstance(known, _Text) else _Text([known])
    pieces.append(new)
    return pieces


def _merged_objects(known: dict[str, Any], new: dict[str, Any], *, joins: bool) -> _Object:
    ours = known if isinstance(known, _Object) else _Object(known)
    for name, value in new.items():
        ours[name] = merged(ours.get(name), value, name, joins=joins)
    return ours


def _merged_lists(known: list[Any], new: list[Any], *, joins: bool) -> _List:
    ours = known if isinstance(known, _List) else _List(known)
    for item in new:
        place = _place_of(item, ours)
        if place is None:
            ours.append(item)
        else:
            ours[place] = _merged_objects(ours[place], item, joins=joins)
    return ours


def _place_of(item: Any, items: list[Any]) -> int | None:
    """Return where the item of which this is a part lies.

    Some engines give all calls of tools the same index: another `id` is another item.
    """
    if not isinstance(item, dict) or not isinstance(item.get("index"), int):
        return None
    for place in range(len(items) - 1, -1, -1):
        other = items[place]
        if isinstance(other, dict) and other.get("index") == item["index"]:
            has_other_id = item.get("id") and other.get("id") and item["id"] != other["id"]
            return None if has_other_id else place
    return None
