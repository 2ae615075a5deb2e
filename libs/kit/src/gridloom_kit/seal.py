"""Sealing: secrets that must be kept and read again, as text under the master key (AES-256-GCM).

A sealed text is bound to what it belongs to (`belongs_to`, the associated data): copied elsewhere it does not open.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from secrets import token_bytes

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_KEY_BYTES = 32
_NONCE_BYTES = 12


class SealError(ValueError):
    """A master key that is none, or a sealed text that does not open. Never says what was in it."""


class Seal:
    """Seals and opens under one master key. Random nonces are good for some four billion texts a key."""

    def __init__(self, master_key: str) -> None:
        """`master_key` is 64 hexadecimal digits. Raises `SealError`."""
        try:
            key = bytes.fromhex(master_key)
        except ValueError as error:
            raise SealError("the master key is not hexadecimal") from error
        if len(key) != _KEY_BYTES:
            raise SealError(f"the master key has {2 * _KEY_BYTES} hexadecimal digits, not {len(master_key)}")
        self._cipher = AESGCM(key)

    def close(self, text: str, belongs_to: str) -> str:
        """Return `text` sealed, as base64url."""
        nonce = token_bytes(_NONCE_BYTES)
        return urlsafe_b64encode(nonce + self._cipher.encrypt(nonce, text.encode(), belongs_to.encode())).decode()

    def open(self, sealed: str, belongs_to: str) -> str:
        """Return what was sealed. Raises `SealError` if the key, the text or `belongs_to` is another."""
        try:
            raw = urlsafe_b64decode(sealed)
            return self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], belongs_to.encode()).decode()
        except (InvalidTag, binascii.Error, ValueError) as error:
            raise SealError(f"a sealed text of {belongs_to!r} does not open") from error
