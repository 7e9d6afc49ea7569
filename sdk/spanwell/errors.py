"""What can go wrong, as types.

    SpanwellError
      + ConfigError      you can fix it: the message names the file, the key and what is allowed
      + SpoolFullError       the disk queue has reached its bound; try again later
      + StoreError       the engine refused or is away
        + QueryError     the question is at fault, not the engine

`shielded` is the one place that catches everything: an SDK must never break its host.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def shielded(doing: str) -> Iterator[None]:
    """Keep a failure of Spanwell's own out of the host program; log it once, at debug level with its traceback."""
    try:
        yield
    except Exception:  # the host's call must go on whatever telemetry does
        logger.debug("spanwell could not %s", doing, exc_info=True)
