"""What guards say of a call, and what it carries of them. Never the text itself: kinds and counts."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from spanwell_proxy.apis.api import Document, Reader
from spanwell_proxy.failures import ApiError

Where = Literal["input", "output"]
Action = Literal["block", "mask", "flag"]
PURPOSE: Final = "guard"  # of the calls that guards make themselves
BLOCKED: Final = "guard_blocked"


class Verdict(NamedTuple):
    """What one guard found, by kind, and what was done about it."""

    guard: str
    action: str  # an Action; `retry` where the answer was asked for again, `error` where the guard itself failed
    where: Where
    found: Mapping[str, int | float]


@dataclass(slots=True, eq=False)
class Guarded:
    """A call that guards look at. The last four are for who answers; None where no guard has to be asked then."""

    verdicts: list[Verdict] = field(default_factory=list)
    took_s: float = 0.0
    cut_tokens: int = 0
    placeholders: tuple[str, ...] = ()  # that stand in the request for what the answer may name again
    wait: Callable[[], Awaitable[None]] | None = None  # for guards beside the call; raises ApiError
    check_answer: Callable[[Document], Awaitable[Document]] | None = None  # raises ApiError; what the client gets
    begin_stream: Callable[[Reader, bytes, bool], tuple[Reader, bytes]] | None = None  # with what has come, and if all
    finish_stream: Callable[[], Awaitable[bytes]] | None = None  # raises ApiError; what was held back until the end

    @property
    def told(self) -> list[dict[str, Any]]:
        """The verdicts as a span tells them."""
        return [{**one._asdict(), "found": dict(one.found)} for one in self.verdicts]


def block(guard: str, where: Where, found: Mapping[str, int | float]) -> ApiError:
    """400 for answers too: clients try a 5xx again by themselves, and would pay for each."""
    what = "request" if where == "input" else "answer"
    kinds = ", ".join(found)
    return ApiError(400, BLOCKED, f"the guard {guard!r} blocked the {what}: {kinds}")
