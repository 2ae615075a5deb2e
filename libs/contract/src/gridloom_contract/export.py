"""The contract for readers without Python: JSON Schema 2020-12 for every message, and one AsyncAPI 3.0 document.

Both are derived from the registry and nothing else. `python -m gridloom_contract.export` writes them; the same contract
always gives the same bytes, so a test compares what is committed with what the code says.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from gridloom_contract.base import Message, tag_of
from gridloom_contract.fault import Fault
from gridloom_contract.registry import CHANNELS, Channel

JsonObject = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DEFAULT_FOLDER = Path("proto-schemas")
FAULT_NAME = "fault"
FAULT_HEADER = "Gridloom-Fault"

_VERSION = "1.0.0"
_SERVER: JsonObject = {"host": "{host}:4222", "protocol": "nats", "variables": {"host": {"default": "127.0.0.1"}}}
_COMPONENT = "#/components/schemas/{name}"
_PLACEHOLDERS: dict[str, tuple[str, ...]] = {
    "wrk": ("shard", "worker"),
    "ctl": ("worker",),
    "work": ("model", "worker", "job"),
    "tok": ("worker", "job"),
    "live": ("job",),
    "event": ("job",),
    "ended": ("waiter", "job"),
}
_PARAMETERS = {
    "shard": "CRC-32 (IEEE) of the worker's id, modulo 16",
    "worker": "the worker's id, as issued with its token",
    "model": "the model's name with `.`, `*`, `>`, `%`, blanks and controls escaped as `%XX`",
    "waiter": "the gateway that waits, as its submission says",
    "job": "the job's id: 32 lowercase hexadecimal digits",
}


def messages() -> dict[str, type[Message]]:
    """Return every message of the registry by its tag, in order of the tags."""
    found = {tag_of(message): message for channel in CHANNELS for message in _messages_of(channel)}
    return dict(sorted(found.items()))


def tags_of(channel: Channel) -> list[str]:
    """Return the tags of what is said on a channel: its message, and the answer if there is one."""
    return [tag_of(message) for message in _messages_of(channel)]


def json_schemas() -> dict[str, JsonObject]:
    """Return one self-contained JSON Schema per message by tag, and `fault`: how a request is refused."""
    types: dict[str, Any] = {**messages(), FAULT_NAME: Fault}
    return {name: _standalone(name, kind) for name, kind in types.items()}


def asyncapi() -> JsonObject:
    """Return the AsyncAPI 3.0 document: every channel, who sends on it, who hears it, and what comes back."""
    operations = [_operation(channel, role, action) for channel in CHANNELS for role, action in _roles(channel)]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Gridloom bus",
            "version": _VERSION,
            "description": "Everything that crosses the NATS bus of Gridloom. Channels marked `x-for-workers` are the "
            "public worker protocol; all others are internal and may change together with the services.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "grid": {"host": "{host}:4222", "protocol": "nats", "variables": {"host": {"default": "127.0.0.1"}}}
        },
        "channels": dict(entry for channel in CHANNELS for entry in _channel_entries(channel)),
        "operations": dict(operations),
        "components": {"messages": _message_components(), "schemas": _schema_components()},
    }


def render(document: JsonObject) -> bytes:
    """Return the bytes of a document as they are committed: two spaces, a newline at the end."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def files() -> dict[str, bytes]:
    """Return every generated file by its path below `proto-schemas/`."""
    schemas = {f"schemas/{name}.json": render(schema) for name, schema in json_schemas().items()}
    return {**schemas, "asyncapi.json": render(asyncapi())}


def write(folder: Path) -> list[str]:
    """Make the generated files in `folder` what the contract says; return the paths that changed or went."""
    wanted = files()
    there = {str(path.relative_to(folder)): path for path in sorted((folder / "schemas").glob("*.json"))}
    gone = [name for name in there if name not in wanted]
    changed = [name for name, content in wanted.items() if _content(folder / name) != content]
    (folder / "schemas").mkdir(parents=True, exist_ok=True)
    for name in changed:
        (folder / name).write_bytes(wanted[name])
    for name in gone:
        there[name].unlink()
    return changed + gone


def main(arguments: list[str]) -> int:
    """Write the files to the folder named on the command line (default `proto-schemas`) and say what changed."""
    folder = Path(arguments[0]) if arguments else DEFAULT_FOLDER
    changed = write(folder)
    lines = [f"written: {folder / name}" for name in changed] or [f"{folder}: fresh"]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _messages_of(channel: Channel) -> tuple[type[Message], ...]:
    return (channel.message,) if channel.reply is None else (channel.message, channel.reply)


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _standalone(name: str, kind: type[Any]) -> JsonObject:
    schema = _tidy(msgspec.json.schema(kind))
    return {"$schema": DIALECT, "$id": f"urn:gridloom:{name}", **schema}


def _schema_components() -> JsonObject:
    kinds = [*messages().values(), Fault]
    _, components = msgspec.json.schema_components(kinds, ref_template=_COMPONENT)
    tidy: JsonObject = _tidy(components)
    return dict(sorted(tidy.items()))


def _tidy(node: Any) -> Any:
    """Return a schema without what differs between Python versions or belongs to OpenAPI alone.

    Python 3.13 drops the indentation of docstrings, older versions keep it; `discriminator` is not JSON Schema.
    """
    if isinstance(node, Mapping):
        return {key: _tidy_entry(key, value) for key, value in node.items() if not _is_discriminator(key, value)}
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    return node


def _tidy_entry(key: str, value: Any) -> Any:
    return inspect.cleandoc(value) if key == "description" and isinstance(value, str) else _tidy(value)


def _is_discriminator(key: str, value: Any) -> bool:
    return key == "discriminator" and "propertyName" in value


def _key(channel: Channel) -> str:
    """`wrk.*.*.hello` → `wrk-hello`: AsyncAPI wants a name beside the address."""
    return "-".join(part for part in channel.subject.split(".") if part != "*")


def _named(subject: str) -> tuple[str, list[str]]:
    """Return the subject with its `*` named, and the names."""
    parts = subject.split(".")
    names = iter(_PLACEHOLDERS.get(parts[0], ()))
    named = [next(names) if part == "*" else "" for part in parts]
    address = ".".join(f"{{{name}}}" if name else part for part, name in zip(parts, named, strict=True))
    return address, [name for name in named if name]


def _channel_entries(channel: Channel) -> Iterable[tuple[str, JsonObject]]:
    yield _key(channel), _channel(channel)
    if channel.reply is not None:
        yield _reply_key(channel), _reply_channel(channel.reply)


def _channel(channel: Channel) -> JsonObject:
    address, names = _named(channel.subject)
    entry: JsonObject = {"address": address, "messages": {tag_of(channel.message): _message_reference(channel.message)}}
    if names:
        entry["parameters"] = {name: {"description": _PARAMETERS[name]} for name in names}
    if channel.stream:
        entry["x-stream"] = channel.stream
    entry["x-for-workers"] = channel.for_workers
    return entry


def _reply_key(channel: Channel) -> str:
    return f"{_key(channel)}-reply"


def _reply_channel(reply: type[Message]) -> JsonObject:
    """The reply goes to the inbox the request names, so there is no address to write down."""
    fault = {"$ref": f"#/components/messages/{FAULT_NAME}"}
    return {"address": None, "messages": {tag_of(reply): _message_reference(reply), FAULT_NAME: fault}}


def _message_reference(message: type[Message]) -> JsonObject:
    return {"$ref": f"#/components/messages/{tag_of(message)}"}


def _roles(channel: Channel) -> list[tuple[str, str]]:
    return [(role, "send") for role in channel.senders] + [
        (role, "receive") for role in (*channel.hearers, *channel.consumers)
    ]


def _operation(channel: Channel, role: str, action: str) -> tuple[str, JsonObject]:
    """One party's view of a channel; the asking and the answering side both show the reply."""
    operation: JsonObject = {"action": action, "channel": {"$ref": f"#/channels/{_key(channel)}"}, "x-party": role}
    if channel.reply is not None:
        operation["reply"] = {"channel": {"$ref": f"#/channels/{_reply_key(channel)}"}}
    return f"{role}-{action}-{_key(channel)}", operation


def _message_components() -> JsonObject:
    entries = {tag: _message_component(tag, message) for tag, message in messages().items()}
    headers = {
        "type": "object",
        "properties": {FAULT_HEADER: {"type": "string", "description": "the fault's code; it marks a refusal"}},
        "required": [FAULT_HEADER],
    }
    return {**entries, FAULT_NAME: {**_message_component(FAULT_NAME, Fault), "headers": headers}}


def _message_component(name: str, kind: type[Any]) -> JsonObject:
    return {
        "name": name,
        "title": kind.__name__,
        "summary": inspect.getdoc(kind) or "",
        "payload": {"$ref": _COMPONENT.format(name=kind.__name__)},
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
