"""Who asks: the bearer of a token, or this machine itself while there is no token at all.

The administrator's token comes from the settings, all others from the store. A token may stand in any header that
clients have for one; its place says nothing about its role.
"""

import base64
import binascii
import hmac
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from spanwell.loopback import is_for_this_machine
from spanwell_collector.access.rights import Identity, Refusal, Right, allow
from spanwell_collector.access.tokens import Token, find_token

ROOT: Final = Identity("root", "SPANWELL_API_TOKEN", "admin", "*")
NOBODY: Final = Identity("", "nobody", "viewer", "*")  # who asks for what is open to everybody
THIS_MACHINE: Final = Identity("loopback", "this machine", "admin", "*")
HOW_TO_ENTER: Final = "send Authorization: Bearer with SPANWELL_API_TOKEN, or with a token of `spanwell tokens create`"
UNKNOWN: Final = Refusal(401, HOW_TO_ENTER, "authorization")
FOREIGN: Final = Refusal(403, "without SPANWELL_API_TOKEN only requests to a loopback name are answered", "host")
HEADERS: Final = ("x-api-key", "x-clickhouse-key")


def read_secrets(headers: Mapping[str, str], password: str = "") -> list[str]:
    """Every word of `headers` (names in lower case) that may be a secret; of basic auth, the password."""
    found = [password, *(headers.get(name, "") for name in HEADERS), _from_authorization(headers)]
    return [word for word in found if word]


def identify(
    headers: Mapping[str, str], tokens: Mapping[str, Token], root: str, now: datetime, password: str = ""
) -> Identity | Refusal:
    """Who sent a request. Unknown, blocked, expired and no token at all are refused in the same words."""
    if not root and not tokens:
        here = is_for_this_machine(headers.get("host", ""), headers.get("origin"))
        return THIS_MACHINE if here else FOREIGN
    for secret in read_secrets(headers, password):
        if root and hmac.compare_digest(secret.encode(), root.encode()):
            return ROOT
        token = find_token(tokens, secret)
        if token is not None and token.is_open(now):
            return Identity(token.id, token.name, token.role, token.project)
    return UNKNOWN


class Gate:
    """Answers who asks, from the tokens that were last read."""

    def __init__(self, root: str, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._root = root
        self._now = now
        self._tokens: Mapping[str, Token] = {}

    @property
    def has_root(self) -> bool:
        return bool(self._root)

    def know(self, tokens: Mapping[str, Token]) -> None:
        """Go by `tokens`, by id, from now on. Deleted ones count too: they keep the door shut to the nameless."""
        self._tokens = tokens

    def identify(self, headers: Mapping[str, str], password: str = "") -> Identity | Refusal:
        """Who sent a request with these headers; their names are in lower case."""
        return identify(headers, self._tokens, self._root, self._now(), password)

    def admit(
        self, headers: Mapping[str, str], need: Right, *, password: str = "", project: str | None = None
    ) -> Identity | Refusal:
        """Who sent a request that needs `need`, or why it is refused."""
        found = self.identify(headers, password)
        if isinstance(found, Refusal):
            return found
        return allow(found, need, project) or found


def _from_authorization(headers: Mapping[str, str]) -> str:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""
