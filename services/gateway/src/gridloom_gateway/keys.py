"""How an API key is spelled: `glm_<kid>_<secret><checksum>`. Pure; nothing here knows who a key belongs to.

The prefix can be found by secret scanners, the kid is looked up, the secret has 190 bits, and the checksum (CRC-32 of
all before it) tells a typing error from a wrong key without a database.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from zlib import crc32

PREFIX = "glm_"
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
KID_LENGTH, SECRET_LENGTH, CHECKSUM_LENGTH = 8, 32, 6
KEY_LENGTH = len(PREFIX) + KID_LENGTH + 1 + SECRET_LENGTH + CHECKSUM_LENGTH

_KEY = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{KID_LENGTH}}}_[0-9A-Za-z]{{{SECRET_LENGTH + CHECKSUM_LENGTH}}}", re.ASCII)
_KID = re.compile(rf"[0-9A-Za-z]{{{KID_LENGTH}}}", re.ASCII)
_KID_SLICE = slice(len(PREFIX), len(PREFIX) + KID_LENGTH)


@dataclass(frozen=True)
class NewKey:
    """A key just made: the only moment at which `text` exists outside its owner's hands."""

    kid: str
    text: str


def mint(choose: Callable[[str], str] = secrets.choice) -> NewKey:
    """Return a new key; `choose` picks one character of an alphabet and must be a cryptographic source."""
    kid = "".join(choose(ALPHABET) for _ in range(KID_LENGTH))
    secret = "".join(choose(ALPHABET) for _ in range(SECRET_LENGTH))
    unchecked = f"{PREFIX}{kid}_{secret}"
    return NewKey(kid, unchecked + _checksum(unchecked))


def kid_in(key: str) -> str | None:
    """Return the kid of a key of the right length, unchecked; None if it cannot be a key."""
    return key[_KID_SLICE] if len(key) == KEY_LENGTH and key.startswith(PREFIX) else None


def is_well_formed(key: str) -> bool:
    """Say whether the key is spelled as a key and its checksum is right."""
    return bool(_KEY.fullmatch(key)) and _checksum(key[:-CHECKSUM_LENGTH]) == key[-CHECKSUM_LENGTH:]


def is_kid(text: str) -> bool:
    """Say whether the text is spelled as a kid."""
    return bool(_KID.fullmatch(text))


def verifier(pepper: bytes, key: str) -> bytes:
    """Return what is stored instead of the key: HMAC-SHA256 under the pepper."""
    return hmac.digest(pepper, key.encode("utf-8", "surrogatepass"), "sha256")


def _checksum(text: str) -> str:
    number = crc32(text.encode("ascii"))
    digits = []
    for _ in range(CHECKSUM_LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))
