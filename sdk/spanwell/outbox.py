"""A bounded queue in memory and the one thread that delivers it: what waits, what was delivered, what was dropped.

OpenTelemetry's BatchSpanProcessor forgets a batch whose delivery failed, cannot bound a flush, and does not count.
Here a batch is tried again until it is stored or refused, or the program ends; `put` never blocks.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, TypeVar

from opentelemetry import context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY

from spanwell.errors import shielded

logger = logging.getLogger("spanwell")

T = TypeVar("T")

FIRST_RETRY_S = 0.25
LAST_RETRY_S = 15.0


class Delivery(NamedTuple):
    """Counts since the program started: what the collector has, what was given up, and what still waits."""

    delivered: int = 0
    dropped: int = 0
    waiting: int = 0


@dataclass(frozen=True)
class Answer:
    """What became of one attempt. `later` and `away` are worth another; `refused` never is."""

    verdict: Literal["stored", "later", "away", "refused"]
    reason: str = ""
    retry_after_s: float = 0.0
    lost: int = 0  # items of a stored batch that could not be sent with it


Send = Callable[[Sequence[T], Delivery], Answer]
"""Takes a batch and the counts so far: `delivered` is the number of the batch's first item."""


class Outbox(Generic[T]):
    """Items of one kind on their way to the collector. The thread starts with the first item."""

    def __init__(self, kind: str, send: Send[T], *, capacity: int, batch_size: int, delay_s: float) -> None:
        self._kind = kind
        self._send = send
        self._capacity = capacity
        self._batch_size = batch_size
        self._delay_s = delay_s
        self._queue: deque[T] = deque()
        self.reset()

    def reset(self) -> None:
        """Start from nothing, as a forked child must: its parent delivers what was waiting."""
        self._changed = threading.Condition()
        self._queue.clear()
        self._thread: threading.Thread | None = None
        self._delivered = self._dropped = self._lost = self._in_flight = 0
        self._hurries = self._absences = 0
        self._deadline: float | None = None  # set once the outbox is closing
        self._is_in_trouble = False

    def put(self, item: T) -> None:
        """Take an item, or count it as dropped if the outbox is full or closed."""
        with self._changed:
            waiting = len(self._queue)
            if waiting >= self._capacity or self._deadline is not None:
                self._dropped += 1
                return
            self._queue.append(item)
            if waiting == 0 or waiting + 1 == self._batch_size:
                self._changed.notify_all()
            if self._thread is None:
                self._start_thread()

    def count(self) -> Delivery:
        with self._changed:
            return Delivery(self._delivered, self._dropped, len(self._queue) + self._in_flight)

    def hurry(self) -> None:
        """Have what waits delivered now."""
        with self._changed:
            self._hurries += 1
            self._changed.notify_all()

    def wait(self, deadline: float) -> None:
        """Block until what was taken so far is settled, the collector proves to be away, or `deadline` (monotonic)."""
        with self._changed:
            target = self._settled() + len(self._queue) + self._in_flight
            absences = self._absences
            self._changed.wait_for(
                lambda: self._settled() >= target or self._absences > absences,
                max(0.0, deadline - time.monotonic()),
            )

    def close(self, deadline: float) -> None:
        """Take no more, and give up what is not delivered by `deadline` (monotonic)."""
        with self._changed:
            if self._deadline is None:
                self._deadline = deadline
                self._changed.notify_all()
            self._changed.wait_for(
                lambda: not self._queue and not self._in_flight, max(0.0, deadline - time.monotonic())
            )
            self._dropped += len(self._queue)
            self._queue.clear()

    def _settled(self) -> int:
        return self._delivered + self._lost

    def _start_thread(self) -> None:
        self._thread = threading.Thread(target=self._run, name=f"spanwell-{self._kind}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        context.attach(context.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))  # our own requests make no spans
        while batch := self._next_batch():
            self._deliver(batch)

    def _next_batch(self) -> list[T]:
        """Items to deliver, once the oldest has waited long enough or there are many; empty when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._deadline is not None)
            hurries = self._hurries
            self._changed.wait_for(
                lambda: len(self._queue) >= self._batch_size or self._is_urgent(hurries), self._delay_s
            )
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._batch_size))]
            self._in_flight = len(batch)
            return batch

    def _is_urgent(self, hurries: int) -> bool:
        return self._deadline is not None or self._hurries != hurries

    def _deliver(self, batch: list[T]) -> None:
        """Try until the batch is settled, each time with the same counts: the collector knows a repeat by its bytes."""
        retry_s, so_far = FIRST_RETRY_S, self.count()
        while not self._settle(batch, answer := self._attempt(batch, so_far)):
            self._pause(max(retry_s, answer.retry_after_s))
            retry_s = min(2 * retry_s, LAST_RETRY_S)

    def _attempt(self, batch: list[T], so_far: Delivery) -> Answer:
        answer = Answer("refused", "it could not be encoded")
        with shielded(f"deliver {self._kind}"):
            answer = self._send(batch, so_far)
        self._report(answer)
        return answer

    def _settle(self, batch: list[T], answer: Answer) -> bool:
        with self._changed:
            is_late = self._deadline is not None and (
                answer.verdict == "away" or time.monotonic() + answer.retry_after_s >= self._deadline
            )
            if answer.verdict == "stored":
                self._delivered += len(batch) - answer.lost
                self._dropped += answer.lost
                self._lost += answer.lost
            elif answer.verdict == "refused" or is_late:
                self._dropped += len(batch)
                self._lost += len(batch)
            else:
                self._absences += answer.verdict == "away"
                self._changed.notify_all()
                return False
            self._in_flight = 0
            self._changed.notify_all()
            return True

    def _pause(self, wait_s: float) -> None:
        with self._changed:
            if self._deadline is not None:
                self._changed.wait(min(wait_s, max(0.0, self._deadline - time.monotonic())))
                return
            hurries = self._hurries
            self._changed.wait_for(lambda: self._is_urgent(hurries), wait_s)

    def _report(self, answer: Answer) -> None:
        """One line when trouble begins and one when it is over, however long it lasts."""
        if answer.verdict == "stored" and self._is_in_trouble:
            logger.info("spanwell delivers %s again", self._kind)
        elif answer.verdict != "stored" and not self._is_in_trouble:
            fate = "are dropped" if answer.verdict == "refused" else f"wait in memory, at most {self._capacity}"
            logger.warning("spanwell cannot deliver %s: %s; they %s", self._kind, answer.reason, fate)
        self._is_in_trouble = answer.verdict != "stored"
