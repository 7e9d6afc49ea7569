"""What can go wrong, as types.

    SpanwellError
      + ConfigError      you can fix it: the message names the file, the key and what is allowed
      + SpoolFullError       the disk queue has reached its bound; try again later
      + StoreError       the engine refused or is away
        + QueryError     the question is at fault, not the engine

`shielded` is the one place that catches everything: an SDK must never break its host.
"""

import logging
from types import TracebackType

logger = logging.getLogger("spanwell")


class SpanwellError(Exception):
    """Root of everything Spanwell raises on purpose."""


class ConfigError(SpanwellError):
    """A setting or the configuration file is wrong, and the message says what to write instead."""


class SpoolFullError(SpanwellError):
    """The spool holds `max_bytes` already, or the disk is full."""


class StoreError(SpanwellError):
    """The engine refused an insert or cannot be reached."""


class QueryError(StoreError):
    """The engine understood the connection but not the question."""


class _Shield:
    """A class, not a generator: it costs a quarter, and stands around every call of a traced function."""

    __slots__ = ("_doing",)

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        logger.debug("spanwell could not %s", self._doing, exc_info=error)
        return True


def shielded(doing: str) -> _Shield:
    """Keep a failure of Spanwell's own out of the host program; log it at debug level with its traceback."""
    return _Shield(doing)
