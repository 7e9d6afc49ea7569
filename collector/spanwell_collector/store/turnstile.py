"""Lets many pass at once, until somebody holds it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turnstile:
    """A lock with a shared side and an exclusive one; who waits for the exclusive side is not overtaken."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._held = False

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Run the block beside others who pass, and never while it is held."""
        with self._changed:
            self._changed.wait_for(lambda: not self._held)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Run the block when all who were inside have left; nobody passes meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: not self._held)
            self._held = True
            self._changed.wait_for(lambda: self._inside == 0)
        try:
            yield
        finally:
            with self._changed:
                self._held = False
                self._changed.notify_all()
