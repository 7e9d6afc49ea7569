"""Keeps the tokens: makes, changes and reads them in the store, and writes down who changed what."""

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from spanwell.errors import StoreError
from spanwell_collector.access.gate import Gate
from spanwell_collector.access.rights import Identity, Role
from spanwell_collector.access.tokens import Token, digest_secret, make_id, make_secret
from spanwell_collector.store.client import Store

logger = logging.getLogger("spanwell.collector")

REFRESH_SECONDS: Final = 5.0  # how late a collector learns what another one changed
LIST: Final = """
SELECT id, name, digest, role, project, created, expires, blocked, deleted, version
FROM spanwell.access_tokens FINAL
ORDER BY created, id
"""
AUDIT: Final = ("ts", "actor", "action", "target", "detail")


class Registrar:
    """The tokens of one store; `gate` learns of every change at once."""

    def __init__(self, store: Store, gate: Gate, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._store = store
        self._gate = gate
        self._now = now
        self._lock = threading.Lock()
        self._tokens: dict[str, Token] = {}

    def refresh(self) -> None:
        """Read the tokens again. Raises StoreError; what was known before stays in force then."""
        rows = self._store.query(LIST).to_pylist()
        with self._lock:
            # What this process changed while the question was under way is newer than the answer.
            for token in (Token(**row) for row in rows):
                if token.version > self._version(token.id):
                    self._tokens[token.id] = token
            self._publish()

    def tokens(self) -> list[Token]:
        """Those that were not deleted, oldest first."""
        return [token for token in self._tokens.values() if not token.deleted]

    def find(self, token_id: str) -> Token | None:
        return next((token for token in self.tokens() if token.id == token_id), None)

    def create(
        self, actor: Identity, *, name: str, role: Role, project: str, expires: datetime | None
    ) -> tuple[Token, str]:
        """A new token, and its secret: nobody can read that again."""
        token_id = make_id()
        secret = make_secret(token_id)
        token = Token(token_id, name, digest_secret(secret), role, project, self._now(), expires)
        with self._lock:
            self._keep(token)
        self._note_change(actor, "create", token)
        return token, secret

    def rotate(self, actor: Identity, token: Token) -> str:
        """A new secret for `token`; the old one opens nothing from now on."""
        secret = make_secret(token.id)
        self._change(actor, "rotate", token, digest=digest_secret(secret))
        return secret

    def block(self, actor: Identity, token: Token, *, blocked: bool) -> None:
        self._change(actor, "block" if blocked else "unblock", token, blocked=blocked)

    def delete(self, actor: Identity, token: Token) -> None:
        self._change(actor, "delete", token, deleted=True)

    def note(self, actor: Identity, action: str, target: str, detail: str = "") -> None:
        """Write down what `actor` did."""
        row = (self._now(), f"{actor.id} {actor.name}", action, target, detail)
        self._store.insert("access_audit", [row], AUDIT)

    def _change(self, actor: Identity, action: str, token: Token, **changes: Any) -> None:
        with self._lock:
            now = self._tokens.get(token.id, token)  # who asks may hold an older state
            self._keep(now._replace(version=now.version + 1, **changes))
        self._note_change(actor, action, token)

    def _keep(self, token: Token) -> None:
        self._store.insert("access_tokens", [token], Token._fields)
        self._tokens[token.id] = token
        self._publish()

    def _note_change(self, actor: Identity, action: str, token: Token) -> None:
        self.note(actor, f"token {action}", token.id, f"{token.name}: {token.role} of {token.project}")

    def _version(self, token_id: str) -> int:
        known = self._tokens.get(token_id)
        return known.version if known else 0

    def _publish(self) -> None:
        self._gate.know(dict(self._tokens))


def keep_fresh(registrar: Registrar) -> Callable[[], None]:
    """Refresh every few seconds, on a thread, until the answer is called."""
    stopped = threading.Event()
    thread = threading.Thread(target=_refresh_until, args=(registrar, stopped), name="tokens", daemon=True)
    thread.start()

    def stop() -> None:
        stopped.set()
        thread.join()

    return stop


def _refresh_until(registrar: Registrar, stopped: threading.Event) -> None:
    while not stopped.wait(REFRESH_SECONDS):
        try:
            registrar.refresh()
        except StoreError as error:
            logger.warning("the tokens could not be read again: %s", error)
