"""Reads the configuration again: when its files change, on SIGHUP, and when POST /admin/reload asks all workers to.

One that is wrong changes nothing; what is wrong with it shows in the log, in /health and in /metrics.
"""

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from prometheus_client import Counter, Gauge

from spanwell.errors import ConfigError
from spanwell.settings import Settings
from spanwell_proxy.backends.probe import open_session
from spanwell_proxy.backends.redis import RedisBackends
from spanwell_proxy.backends.sqlite import SqliteBackends
from spanwell_proxy.backends.store import BackendStore, StoreAwayError
from spanwell_proxy.backends.watching import Watcher
from spanwell_proxy.experiments.scores import Source, read_scores
from spanwell_proxy.gateway import Gateway
from spanwell_proxy.plan import Plan, read_plan
from spanwell_proxy.serving.current import Current
from spanwell_proxy.tasks import start_task, stop_tasks
from spanwell_proxy.telemetry.metrics import REGISTRY

logger = logging.getLogger(__name__)

LOADED_AT = Gauge(
    "spanwell_config_loaded_timestamp_seconds",
    "When the configuration in force was read.",
    registry=REGISTRY,
    multiprocess_mode="livemin",
)
REFUSED = Gauge(
    "spanwell_config_refused",
    "1 while a wrong configuration waits to be mended.",
    registry=REGISTRY,
    multiprocess_mode="livemax",
)
RELOADS = Counter("spanwell_config_reloads", "Configurations that were read again.", ["result"], registry=REGISTRY)

LOOK_EVERY_S: Final = 0.5
Stamp = tuple[tuple[int, int, int], ...]


class Reloader:
    """Of one worker."""

    def __init__(self, current: Current, watcher: Watcher, store: BackendStore) -> None:
        self._current = current
        self._watcher = watcher
        self._store = store
        self._stamp = stamp_files(current.plan.files)
        self._asked: int | None = None  # how often a reload was asked for, once that is known
        self._hung_up = asyncio.Event()
        self._lock = asyncio.Lock()
        LOADED_AT.set(current.loaded_at.timestamp())

    async def run(self) -> None:
        """Look at the files and at what others ask, until cancelled."""
        with suppress(NotImplementedError, RuntimeError):  # a loop in a thread has no signals
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._hung_up.set)
        seen = self._stamp
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hung_up.wait(), LOOK_EVERY_S)
            stamp = stamp_files(self._current.plan.files)
            # Twice the same: who writes the file now has done so.
            changed, seen = stamp == seen != self._stamp, stamp
            asked = await self._is_asked()
            if changed or asked:
                with suppress(ConfigError):
                    await self.reload()

    async def reload(self) -> None:
        """Raises ConfigError where the configuration is wrong: the one before stays in force."""
        async with self._lock:
            plan = self._current.plan
            self._stamp = stamp_files(plan.files)
            try:
                fresh = await asyncio.to_thread(read_plan, plan.environment, plan.prices)
                _check_lock(plan, fresh)
                await self._watcher.use(fresh.backends)
                self._current.use(fresh, self._watcher.list_entries())
            except ConfigError as error:
                await self._watcher.use(plan.backends)
                self._refuse(error)
                raise
            # As they were before they were read: what was written meanwhile is still to be read.
            before = dict(zip(plan.files, self._stamp, strict=True))
            self._stamp = tuple(before.get(file) or _stamp(file) for file in fresh.files)
            self._accept(plan, fresh)

    async def reload_all(self) -> None:
        """This worker now, the others as soon as they look. Raises ConfigError, StoreAwayError if only this one did."""
        await self.reload()
        await self._store.ask_reload()
        self._asked = await self._store.count_changes("configuration")

    async def _is_asked(self) -> bool:
        hung_up, before = self._hung_up.is_set(), self._asked
        self._hung_up.clear()
        with suppress(StoreAwayError):  # the watcher says so
            self._asked = await self._store.count_changes("configuration")
        return hung_up or (before is not None and self._asked != before)

    def _refuse(self, error: ConfigError) -> None:
        self._current.error = str(error)
        REFUSED.set(1)
        RELOADS.labels("refused").inc()
        logger.error("the configuration before this one stays in force: %s", error)

    def _accept(self, before: Plan, fresh: Plan) -> None:
        self._current.error, self._current.loaded_at = "", datetime.now(UTC)
        REFUSED.set(0)
        LOADED_AT.set(self._current.loaded_at.timestamp())
        RELOADS.labels("accepted").inc()
        logger.info("the configuration was read again: %d models", len(self._current.gateway.routes.deployments))
        for section in self._current.needs_restart:
            logger.warning("the section %s counts from the next start on", section)
        for key, reason in fresh.routes.ignored:
            if (key, reason) not in before.routes.ignored:
                logger.warning("%s has no meaning here: %s", key, reason or "it is not known")


class Operations(NamedTuple):
    """What an operator works with while a worker runs."""

    current: Current
    watcher: Watcher
    reloader: Reloader


@asynccontextmanager
async def keep_current(
    plan: Plan, gateway: Gateway, worker: int, announce: Callable[[Gateway], None]
) -> AsyncIterator[Operations]:
    """Watch one worker's backends and configuration; `announce` is told of each gateway to begin calls with."""
    announce(gateway)
    store, session = open_backends(plan.settings), open_session()
    name = f"{socket.gethostname()}:{worker}"
    watcher, current = Watcher(store, gateway.facts, name, session), Current(plan, gateway, announce)
    await watcher.start(plan.backends)
    current.use_found(watcher.list_entries())
    watcher.on_change = lambda: current.use_found(watcher.list_entries())
    reloader = Reloader(current, watcher, store)
    scores = Source(plan.settings.collector_url, plan.settings.api_token, plan.settings.project)
    scoring = read_scores(scores, lambda: (current.gateway, current.plan.routing), worker)
    tasks = [start_task(watcher.run()), start_task(reloader.run()), start_task(scoring)]
    try:
        yield Operations(current, watcher, reloader)
    finally:
        await stop_tasks(*tasks)
        await session.close()
        await store.close()


def _check_lock(plan: Plan, fresh: Plan) -> None:
    """A file that is empty for a moment must not let everybody in."""
    if plan.routes.master_key and not fresh.routes.master_key:
        raise ConfigError(f"{fresh.config.source}: general_settings.master_key: only a start may do without it")


def open_backends(settings: Settings) -> BackendStore:
    """In SQLite for one host, in Redis for several."""
    if settings.redis_url:
        return RedisBackends(settings.redis_url)
    return SqliteBackends(settings.data / "proxy" / "state.db")


def stamp_files(files: Sequence[Path]) -> Stamp:
    """What changes when a file is written, replaced, or linked to another."""
    return tuple(_stamp(file) for file in files)


def _stamp(file: Path) -> tuple[int, int, int]:
    try:
        found = file.stat()
    except OSError:
        return 0, 0, 0
    return found.st_mtime_ns, found.st_size, found.st_ino
