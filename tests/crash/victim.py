"""The collector, made to die or to fail at a chosen point: `python -m tests.crash.victim POINT COUNT`.

POINT is `Class.method:before` or `:after`; the process kills itself with SIGKILL the COUNT-th time it gets there.
`outage` makes the store refuse every insert for COUNT seconds instead.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

from spanwell.errors import StoreError
from spanwell.spool import Spool
from spanwell_collector.__main__ import main
from spanwell_collector.ingest.sink import Sink
from spanwell_collector.store.client import Store

CLASSES: dict[str, type[Any]] = {"Sink": Sink, "Spool": Spool, "Store": Store}
POINTS = (
    "Spool.append:after",
    "Spool.sync:before",
    "Spool.sync:after",
    "Spool.seal:after",
    "Store.insert_otlp:before",
    "Store.insert_otlp:after",
    "Sink.note:before",
    "Sink.note:after",
    "Spool.remove:before",
    "Spool.remove:after",
)


def arm(point: str, count: int) -> None:
    """Wrap the method that `point` names."""
    place, _, moment = point.partition(":")
    name, _, method = place.partition(".")
    inner = getattr(CLASSES[name], method)
    left = count

    def deadly(*arguments: Any, **named: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0 and moment == "before":
            die()
        result = inner(*arguments, **named)
        if left == 0:
            die()
        return result

    setattr(CLASSES[name], method, deadly)


def die() -> NoReturn:
    """What no handler and no `finally` survives."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def go_away(seconds: float) -> None:
    """Make every insert of spans fail until `seconds` from now."""
    inner: Callable[..., None] = Store.insert_otlp
    back_at = time.monotonic() + seconds

    def away(*arguments: Any, **named: Any) -> None:
        if time.monotonic() < back_at:
            raise StoreError("the store is away (by order of the test)")
        inner(*arguments, **named)

    setattr(Store, "insert_otlp", away)  # noqa: B010


if __name__ == "__main__":
    what, number = sys.argv[1], int(sys.argv[2])
    del sys.argv[1:]
    if what == "outage":
        go_away(number)
    else:
        arm(what, number)
    sys.exit(main())
