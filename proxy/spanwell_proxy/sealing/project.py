"""The project's key: a file of 32 random bytes. Without it, sealed texts are lost and placeholders tell nothing."""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from spanwell.errors import ConfigError
from spanwell.settings import Settings

SIZE_BYTES: Final = 32


@dataclass(frozen=True)
class ProjectKey:
    """One secret; what is done with it has a key of its own each."""

    secret: bytes = field(repr=False)

    def derive(self, purpose: str) -> bytes:
        """32 bytes that tell nothing of the secret."""
        return hmac.digest(self.secret, purpose.encode(), hashlib.sha256)

    @property
    def id(self) -> bytes:
        """Eight bytes by which a sealed text names it."""
        return self.derive("id")[:8]


def key_path(settings: Settings) -> Path:
    return settings.key_file or settings.data / "keys" / "project.key"


def find_key(settings: Settings) -> ProjectKey:
    """The key; made at its first use. Raises ConfigError."""
    path = key_path(settings)
    return read_key(path) if path.exists() or settings.key_file else make_key(path)


def read_key(path: Path) -> ProjectKey:
    """Raises ConfigError; never shows what it read."""
    try:
        secret = base64.b64decode(path.read_bytes().strip(), validate=True)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; make a key with: spanwell texts keygen") from None
    except binascii.Error:
        secret = b""
    if len(secret) != SIZE_BYTES:
        raise ConfigError(f"{path}: this is no key; make one with: spanwell texts keygen")
    return ProjectKey(secret)


def erase_key(path: Path) -> None:
    """Overwrite it where it stands, then delete it. Raises ConfigError where there is none."""
    read_key(path)
    with path.open("r+b") as file:  # opening it to write would give up its blocks as they are
        file.write(bytes(path.stat().st_size))
        file.flush()
        os.fsync(file.fileno())
    path.unlink()


def make_key(path: Path) -> ProjectKey:
    """A new key, readable to its owner alone. Where another process was faster, that one's."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.b64encode(secrets.token_bytes(SIZE_BYTES)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)  # whole, or not at all
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return read_key(path)
