"""Every secret of one stack: made once, kept in one file that only its owner may read."""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path
from typing import Final

import msgspec
import nkeys

from gridloom_contract.registry import SERVICES
from gridloom_local.nats_config import STATIC_USERS
from gridloom_local.servers import write_private

MONGO_ADMIN: Final = "admin"

_ACCOUNT_KEY: Final = nkeys.PREFIX_BYTE_ACCOUNT


def _password() -> str:
    return secrets.token_hex(32)


def _account_seed() -> str:
    return bytes(nkeys.encode_seed(os.urandom(32), _ACCOUNT_KEY)).decode()


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """Passwords by user name, keys and seeds. What a file from an older version lacks is made on loading it."""

    nats_passwords: dict[str, str] = msgspec.field(default_factory=dict)
    callout_seed: str = msgspec.field(default_factory=_account_seed)
    """The nkey account seed with which the scheduler signs the answers of the auth callout."""
    mongo_passwords: dict[str, str] = msgspec.field(default_factory=dict)
    mongo_keyfile: str = msgspec.field(default_factory=lambda: base64.b64encode(os.urandom(96)).decode())
    api_key_pepper: str = msgspec.field(default_factory=_password)
    admin_key: str = msgspec.field(default_factory=lambda: f"gla_{secrets.token_urlsafe(32)}")
    s3_access_key: str = msgspec.field(default_factory=lambda: secrets.token_hex(10))
    s3_secret_key: str = msgspec.field(default_factory=_password)
    webhook_master_key: str = msgspec.field(default_factory=_password)
    """Seals the API keys and secrets that webhooks are signed with: the gateway's and the webhook service's."""

    def __post_init__(self) -> None:
        for user in STATIC_USERS:
            self.nats_passwords.setdefault(user, _password())
        for user in (*SERVICES, MONGO_ADMIN):
            self.mongo_passwords.setdefault(user, _password())

    @property
    def callout_issuer(self) -> str:
        """The public key of `callout_seed`: what nats-server trusts."""
        return bytes(nkeys.from_seed(self.callout_seed.encode()).public_key).decode()


def load_or_create(file: Path) -> Secrets:
    """Return the secrets in `file`, making what is missing. Raises ValueError if the file is not ours to read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    content = file.read_bytes() if file.exists() else b"{}"
    try:
        kept = msgspec.json.decode(content, type=Secrets)
    except msgspec.DecodeError as error:
        raise ValueError(f"{file} does not hold the secrets of a stack: {error}") from error
    complete = msgspec.json.format(msgspec.json.encode(kept))
    if complete != content:
        write_private(file, complete)
    return kept
