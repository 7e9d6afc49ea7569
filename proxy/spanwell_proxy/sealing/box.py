"""Seals a text, AES-256-GCM: each text has a key of its own, made of the key it is sealed with and a random salt.

`enc1:` and URL-safe base64 of: the key's id (8 bytes), the salt (16), one byte that is 1 where the text was compressed,
and what was encrypted with its tag (16).
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
import zlib
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from spanwell.errors import SpanwellError

PREFIX: Final = "enc1:"
SEALED: Final = re.compile(r"enc1:[A-Za-z0-9_\-]{56,}=*")
ID_BYTES, SALT_BYTES = 8, 16
HEAD_BYTES: Final = ID_BYTES + SALT_BYTES + 1
ONCE: Final = bytes(12)  # the nonce of a key that is used once
LEAST_COMPRESSED: Final = 512  # characters


class UnsealError(SpanwellError):
    """What is no sealed text, or was changed, or was sealed with another key."""


def seal(text: str, key_id: bytes, key: bytes) -> str:
    """`key` is 32 bytes, `key_id` the 8 that name it."""
    salt, plain = os.urandom(SALT_BYTES), text.encode("utf-8", "surrogatepass")
    packed = len(plain) >= LEAST_COMPRESSED
    head = key_id + salt + bytes((packed,))
    plain = zlib.compress(plain, 1) if packed else plain
    sealed = AESGCM(_own_key(key, salt)).encrypt(ONCE, plain, head)
    return PREFIX + base64.urlsafe_b64encode(head + sealed).decode()


def unseal(token: str, key: bytes) -> str:
    """Raises UnsealError."""
    data = _decode(token)
    head, salt = data[:HEAD_BYTES], data[ID_BYTES : ID_BYTES + SALT_BYTES]
    try:
        plain = AESGCM(_own_key(key, salt)).decrypt(ONCE, data[HEAD_BYTES:], head)
    except InvalidTag:
        raise UnsealError("the text was sealed with another key, or changed since") from None
    return (zlib.decompress(plain) if head[-1] else plain).decode("utf-8", "surrogatepass")


def read_key_id(token: str) -> bytes:
    """Which key a text was sealed with. Raises UnsealError."""
    return _decode(token)[:ID_BYTES]


def _decode(token: str) -> bytes:
    try:
        data = base64.urlsafe_b64decode(token.removeprefix(PREFIX))
    except (binascii.Error, ValueError):
        data = b""
    if len(data) < HEAD_BYTES + 16:
        raise UnsealError("this is no sealed text")
    return data


def _own_key(key: bytes, salt: bytes) -> bytes:
    return hmac.digest(key, b"text" + salt, hashlib.sha256)
