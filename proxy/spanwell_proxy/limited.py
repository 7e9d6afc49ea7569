"""What the limits did with a call."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from spanwell_proxy.caller import PUSD

Header = tuple[bytes, bytes]


@dataclass(slots=True)
class Limited:
    """`needs` are the accounts it took from, and how much; `left_pusd` is of the tightest budget, before it."""

    needs: Sequence[tuple[Any, int]] = ()
    attempts: int = 1  # that `needs` are enough for
    state: Literal["", "ok", "soft", "hard"] = ""
    left_pusd: int | None = None
    is_downgraded: bool = False  # a soft limit sent it to another model than the one asked for
    headers: Sequence[Header] = ()

    @property
    def left_usd(self) -> Decimal | None:
        """US dollars."""
        return None if self.left_pusd is None else Decimal(max(0, self.left_pusd)) / PUSD
