"""For whom something is asked, so that it can be ended, and what it is told when it asked for too much."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final
from uuid import uuid4

from spanwell.errors import QueryError, StoreError

CODE: Final = re.compile(r"Code: (\d+)")
TOO_MUCH: Final = {
    158: "reads too many rows",
    159: "takes too long",
    160: "would take too long",
    241: "needs too much memory",
    307: "reads too many bytes",
    396: "has too many rows in its answer",
}
END: Final = "KILL QUERY WHERE Settings['log_comment'] = {tag:String} ASYNC"


class TooMuchError(QueryError):
    """A question went beyond the limits that all questions have."""


@dataclass
class Asker:
    """Who waits for answers; every statement asked for them is marked with `tag`."""

    tag: str = field(default_factory=lambda: uuid4().hex)
    has_left: bool = False


ASKER: Final[ContextVar[Asker | None]] = ContextVar("asker", default=None)


def mark(sql: str) -> str:
    """`sql` as asked for whoever asks now, if anybody does. Raises StoreError when they have left."""
    asker = ASKER.get()
    if asker is None:
        return sql
    if asker.has_left:
        raise StoreError("whoever asked has left")
    return f"{sql}\nSETTINGS log_comment = '{asker.tag}'"


@contextmanager
def told_what_to_do() -> Iterator[None]:
    """Turn the engine's word for a limit into one for people. What is not about a limit passes."""
    try:
        yield
    except StoreError as error:
        code = CODE.search(str(error))
        reason = TOO_MUCH.get(int(code[1])) if code else None
        if reason is None or "(total)" in str(error):  # then it is other questions that have taken the memory
            raise
        raise TooMuchError(f"the question {reason}: choose a shorter window, or more filters") from error
