"""A token: what is kept of it, and how its secret is made and checked. Who may do what is decided in access.rights."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

from spanwell_collector.access.rights import Role

EVERY_PROJECT: Final = "*"
SECRET: Final = re.compile(r"sw-([0-9a-f]{12})-[\w-]{43}", re.ASCII)
NO_DIGEST: Final = "0" * 64


class Token(NamedTuple):
    """An ingest key or API token. `digest` is the SHA-256 of its secret, which nobody keeps."""

    id: str
    name: str
    digest: str
    role: Role
    project: str  # EVERY_PROJECT: all of them
    created: datetime
    expires: datetime | None = None
    blocked: bool = False
    deleted: bool = False
    version: int = 1

    def is_open(self, now: datetime) -> bool:
        return not self.blocked and not self.deleted and (self.expires is None or now < self.expires)


def make_id() -> str:
    return secrets.token_hex(6)


def make_secret(token_id: str) -> str:
    """256 random bits behind the id, by which the token is found again."""
    return f"sw-{token_id}-{secrets.token_urlsafe(32)}"


def digest_secret(secret: str) -> str:
    """A secret this long cannot be guessed, so one round of a fast hash keeps it."""
    return hashlib.sha256(secret.encode()).hexdigest()


def find_token(tokens: Mapping[str, Token], secret: str) -> Token | None:
    """The token of `secret`, open or not. Takes as long for an id that is unknown as for a secret that is wrong."""
    named = SECRET.fullmatch(secret)
    token = tokens.get(named[1]) if named else None
    matches = hmac.compare_digest(digest_secret(secret), token.digest if token else NO_DIGEST)
    return token if matches else None
