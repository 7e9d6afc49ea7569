"""Lets as many attempts through as deployments and models take at a time; the others wait in line, first come first.

Unlimited models pay nothing for it. One line a model name, and one object a worker.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from spanwell_proxy.failures import ApiError
from spanwell_proxy.routing.facts import Candidate
from spanwell_proxy.upstream.settings import Knobs

LEAST_RETRY_AFTER_S = 1.0
LOOK_AGAIN_S = 0.5  # who has cooled takes calls again, and no attempt ends for it
QUEUE_FULL: Final = "queue_full"


class Admission:
    """Who waits, and how many attempts of each model are under way."""

    def __init__(self) -> None:
        self._under_way: dict[str, int] = {}
        self._lines: dict[str, deque[asyncio.Event]] = {}

    @property
    def waiting(self) -> int:
        """Calls in all lines."""
        return sum(map(len, self._lines.values()))

    def count(self, model: str) -> int:
        """Attempts of this model that are under way: those of models with a bound alone are counted."""
        return self._under_way.get(model, 0)

    def begin(self, model: str) -> None:
        self._under_way[model] = self.count(model) + 1

    def end(self, model: str) -> None:
        left = self.count(model) - 1
        if left > 0:
            self._under_way[model] = left
        else:
            self._under_way.pop(model, None)

    def wake(self) -> None:
        """An attempt has ended, of whichever model: deployments may stand under several names."""
        for line in self._lines.values():
            line[0].set()

    async def wait(self, model: str, knobs: Knobs, has_room: Callable[[], bool], busy_s: float) -> None:
        """Until there is room, which has to be taken at once. Raises ApiError 429.

        `busy_s` is about how long an answer takes.
        """
        line = self._lines.get(model)
        if line is None and has_room():
            return
        if line is None:
            line = self._lines[model] = deque()
        if len(line) >= knobs.max_waiting:
            if not line:
                del self._lines[model]
            raise _full(model, f"{len(line)} calls are waiting already", busy_s)
        mine = asyncio.Event()
        line.append(mine)
        try:
            async with asyncio.timeout(knobs.max_wait_s):
                while line[0] is not mine or not has_room():
                    mine.clear()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_AGAIN_S):
                            await mine.wait()
        except TimeoutError:
            raise _full(model, f"none became free in {knobs.max_wait_s:g} s", busy_s) from None
        finally:
            line.remove(mine)
            if line:
                line[0].set()
            else:
                del self._lines[model]


def find_room(group: Sequence[Candidate], limits: Sequence[int | None], now: float) -> list[Candidate]:
    """Those that take another attempt now; of what is ready, as long as anything is."""
    ready = [(one, limit) for one, limit in zip(group, limits, strict=True) if one.facts.is_ready(now)]
    able = ready or list(zip(group, limits, strict=True))
    return [one for one, limit in able if limit is None or one.facts.in_flight < limit]


def _full(model: str, told: str, busy_s: float) -> ApiError:
    message = f"all deployments of {model!r} are busy, and {told}; try again later"
    return ApiError(429, QUEUE_FULL, message, retry_after_s=max(LEAST_RETRY_AFTER_S, busy_s))
