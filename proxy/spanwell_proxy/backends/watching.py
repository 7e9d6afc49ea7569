"""Watches backends, one task each: is it up, what does it serve, how busy is it. Every worker watches for itself."""

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

from spanwell.backends import Backend, read_backend
from spanwell.errors import ConfigError
from spanwell_proxy.backends.entries import list_entries, name_deployment
from spanwell_proxy.backends.gauges import hide_backend, show_backend
from spanwell_proxy.backends.load import Load
from spanwell_proxy.backends.probe import ProbeError, Served, ask_load, check_health, list_models
from spanwell_proxy.backends.store import BackendStore, Known, StoreAwayError
from spanwell_proxy.routing.facts import Facts
from spanwell_proxy.tasks import start_task, stop_tasks

logger = logging.getLogger(__name__)

MODELS_EVERY_S: Final = 10.0
FIRST_LOOK_S: Final = 2.0  # how long a start waits for what backends serve
WARN_EVERY_S: Final = 60.0
NOTICE_S: Final = 0.25  # how soon another worker's change counts


@dataclass(eq=False)
class Watched:
    """What one worker knows of one backend. Times are of the monotonic clock."""

    backend: Backend
    by_hand: bool
    is_drained: bool = False
    served: tuple[Served, ...] = ()
    is_up: bool = False
    failures: int = 0
    error: str = ""
    load: Load | None = None
    asked_models_at: float | None = None
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)  # how it is

    @property
    def status(self) -> str:
        return "away" if not self.is_up else "drained" if self.is_drained else "up"

    @property
    def deployments(self) -> list[str]:
        names = [one.name for one in self.served] if self.backend.models is None else list(self.backend.models)
        return [name_deployment(self.backend.name, name) for name in names]


@dataclass(eq=False)
class Watcher:
    """`facts` are the gateway's, by deployment; `on_change` is called when there are other deployments than before."""

    store: BackendStore
    facts: dict[str, Facts]
    worker: str
    session: aiohttp.ClientSession
    on_change: Callable[[], None] = lambda: None
    watched: dict[str, Watched] = field(default_factory=dict)
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)
    _changes: int = -1
    _warn_at: float = 0.0
    _of_file: tuple[Backend, ...] = ()

    async def run(self) -> None:
        """Follow what other workers change, until cancelled."""
        try:
            while True:
                await asyncio.sleep(NOTICE_S)
                await self.follow()
        finally:
            await stop_tasks(*self._tasks.values())

    async def start(self, of_file: tuple[Backend, ...]) -> None:
        """Begin to watch, and wait a moment for the first answers."""
        await self.use(of_file)
        with suppress(TimeoutError):
            await asyncio.wait_for(
                asyncio.gather(*(one.was_asked.wait() for one in self.watched.values())), FIRST_LOOK_S
            )

    async def use(self, of_file: tuple[Backend, ...]) -> None:
        """Watch these and those that were added by hand."""
        try:
            changes = await self.store.count_changes("backends")
            known = {one.name: one for one in await self.store.list_known()}
        except StoreAwayError as error:  # those of the file serve all the same
            logger.warning("%s", error)
            changes, known = -1, {}
        self._of_file, self._changes = of_file, changes
        self._apply(of_file, known)

    def _apply(self, of_file: tuple[Backend, ...], known: Mapping[str, Known]) -> None:
        wanted = {backend.name: (backend, False) for backend in of_file}
        for name, one in known.items():
            added = _read_added(name, one.document) if one.document is not None else None
            if added and name not in wanted:
                wanted[name] = (added, True)
        for name in self.watched.keys() - wanted.keys():
            self._forget(name)
        for name, (backend, by_hand) in wanted.items():
            kept = known.get(name)
            self._watch(backend, kept.served if kept else (), by_hand=by_hand)
            self.watched[name].is_drained = kept is not None and kept.is_drained
            self._mark(self.watched[name])

    async def follow(self) -> None:
        """Let count here what this or another worker has written to the store."""
        try:
            if await self.store.count_changes("backends") != self._changes:
                await self.use(self._of_file)
                self.on_change()
            await self._tell_draining()
        except StoreAwayError as error:
            self._warn_away(str(error))

    def list_entries(self) -> list[Mapping[str, Any]]:
        """Entries of `model_list` for all that is watched."""
        return [entry for one in self.watched.values() for entry in list_entries(one.backend, one.served)]

    async def look(self, one: Watched) -> Watched:
        """A backend, once it was asked how it is, or was taken out."""
        await one.was_asked.wait()
        return one

    def describe(self) -> dict[str, int]:
        """For /health: how many backends there are of each status. Their names may be addresses."""
        return dict(Counter(one.status for one in self.watched.values()))

    async def count_running(self) -> dict[str, int]:
        """Calls under way at each backend: this worker's, and at drained ones those of all workers."""
        others: dict[str, int] = {}
        with suppress(StoreAwayError):
            others = await self.store.count_draining(self.worker)
        return {name: self.count_calls(one) + others.get(name, 0) for name, one in self.watched.items()}

    def count_calls(self, one: Watched) -> int:
        """Of this worker, under way."""
        return sum(facts.in_flight for name in one.deployments if (facts := self.facts.get(name)))

    def _warn_away(self, error: str) -> None:
        """Once a minute: it is asked four times a second."""
        now = time.monotonic()
        if now >= self._warn_at:
            self._warn_at = now + WARN_EVERY_S
            logger.warning("%s", error)

    async def _tell_draining(self) -> None:
        """While calls run, and once more when the last one has ended."""
        calls = {name: self.count_calls(one) for name, one in self.watched.items() if one.is_drained}
        told = {name: count for name, count in calls.items() if count or name in self._told}
        if told:
            await self.store.tell_draining(self.worker, told)
        self._told = {name for name, count in told.items() if count}

    def _watch(self, backend: Backend, served: tuple[Served, ...], *, by_hand: bool) -> None:
        before = self.watched.get(backend.name)
        if before and before.backend == backend:
            before.by_hand = by_hand
            return
        if before:
            self._forget(backend.name)
        one = self.watched[backend.name] = Watched(backend, by_hand, served=served)
        self._tasks[backend.name] = start_task(self._keep_looking(one))

    def _forget(self, name: str) -> None:
        self.watched.pop(name).was_asked.set()  # who waits for it would do so for good
        self._tasks.pop(name).cancel()
        hide_backend(name)

    async def _keep_looking(self, one: Watched) -> None:
        while True:
            await self._look(one)
            await asyncio.sleep(one.backend.health.every_seconds)

    async def _look(self, one: Watched) -> None:
        """Health, models now and then, and load. It is up when it answers and serves what it should."""
        served = one.served
        try:
            await check_health(self.session, one.backend)
            if _is_due(one):
                served = await list_models(self.session, one.backend)
                _check_served(one.backend, served)
                one.asked_models_at = time.monotonic()
            one.load = await self._ask_load(one.backend)
        except ProbeError as error:
            self._note_failure(one, str(error))
        else:
            await self._note_answer(one, served)
        one.was_asked.set()

    async def _ask_load(self, backend: Backend) -> Load | None:
        """A server that does not tell how busy it is works all the same."""
        with suppress(ProbeError):
            return await ask_load(self.session, backend) if backend.scrape else None
        return None

    def _note_failure(self, one: Watched, error: str) -> None:
        one.failures += 1
        one.error, one.load = error, None
        if not one.was_asked.is_set() or (one.is_up and one.failures >= one.backend.health.failures):
            one.is_up = False
            logger.warning("backend %s is away: %s", one.backend.name, error)
        self._mark(one)

    async def _note_answer(self, one: Watched, served: Sequence[Served]) -> None:
        if not one.is_up:
            logger.info("backend %s is up", one.backend.name)
        one.is_up, one.failures, one.error = True, 0, ""
        if tuple(served) != one.served:
            one.served = tuple(served)
            self.on_change()
            self._mark(one)
            await self._keep(one)
        self._mark(one)

    async def _keep(self, one: Watched) -> None:
        try:
            await self.store.keep_served(one.backend.name, one.served)
        except StoreAwayError as error:
            self._warn_away(str(error))

    def _mark(self, one: Watched) -> None:
        if self.watched.get(one.backend.name) is not one:  # it was taken out while it was asked
            return
        show_backend(one.backend.name, one.load, is_up=one.is_up)
        now, longest = time.monotonic(), {served.name: served.max_tokens for served in one.served}
        for name in one.deployments:
            facts = self.facts.setdefault(name, Facts())
            facts.is_up, facts.is_drained = one.is_up, one.is_drained
            if one.load:
                facts.note_load(now, *one.load)
        for public, model in _names(one):
            self.facts[name_deployment(one.backend.name, public)].max_tokens = longest.get(model) or math.inf


def _is_due(one: Watched) -> bool:
    return not one.is_up or one.asked_models_at is None or time.monotonic() - one.asked_models_at >= MODELS_EVERY_S


def _names(one: Watched) -> Iterable[tuple[str, str]]:
    if one.backend.models is None:
        return [(served.name, served.name) for served in one.served]
    return one.backend.models.items()


def _check_served(backend: Backend, served: Sequence[Served]) -> None:
    """It may be up and still be loading what it is meant to serve."""
    names = {one.name for one in served}
    missing = [model for model in (backend.models or {}).values() if model not in names]
    if missing or not names:
        raise ProbeError(f"it does not serve {missing[0]!r}" if missing else "it serves no model yet")


def _read_added(name: str, document: Mapping[str, Any]) -> Backend | None:
    try:
        return read_backend(document, f"backend {name}")
    except ConfigError as error:  # of a later version, say
        logger.warning("what was added by hand is left out: %s", error)
        return None
