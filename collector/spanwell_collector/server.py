"""Puts the collector together, serves until a signal, and takes it apart again without losing anything."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import uvicorn
import uvloop
from starlette.types import ASGIApp

from spanwell.settings import Settings
from spanwell.spool import Spool
from spanwell_collector.app import build_app
from spanwell_collector.door import build_door
from spanwell_collector.journal import Journal
from spanwell_collector.store.client import Store
from spanwell_collector.store.guarded import GuardedEngine
from spanwell_collector.store.migrate import load_migrations, migrate
from spanwell_collector.writer import Writer

logger = logging.getLogger("spanwell.collector")

DOOR_THREADS: Final = 4


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals to us: two of them share one loop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(settings: Settings) -> None:
    """Run the collector until SIGTERM or SIGINT. Raises StoreError when the store cannot be opened."""
    with contextlib.ExitStack() as stack:
        store = open_store(settings)
        stack.callback(store.close)
        for name in migrate(store, load_migrations()):
            logger.info("applied migration %s", name)
        spool = Spool(settings.data / "collector" / "spool", max_bytes=settings.spool_max_mb << 20)
        if spool.torn_bytes:
            logger.warning("cut %d bytes of batches that were never acknowledged off the spool", spool.torn_bytes)
        writer = Writer(
            store,
            project=settings.project,
            dead=settings.data / "collector" / "dead",
            stored=lambda segment: journal.forget(segment),
        )
        journal = Journal(spool, flush_seconds=settings.flush_ms / 1000, deliver=writer.put)
        journal.start()
        writer.start()
        stack.callback(writer.close)
        stack.callback(journal.close)
        apps = [(settings.collector_port, build_app(settings, store, journal))]
        if not settings.clickhouse_dsn:
            pool = stack.enter_context(ThreadPoolExecutor(DOOR_THREADS, thread_name_prefix="door"))
            engine = GuardedEngine(settings.data / "store")
            stack.callback(engine.close)
            door = build_door(engine, pool, version=store.version, token=settings.api_token)
            apps.append((settings.sql_port, door))
        uvloop.run(_serve(settings.host, apps))


def open_store(settings: Settings) -> Store:
    if settings.clickhouse_dsn:
        return Store(dsn=settings.clickhouse_dsn)
    path = settings.data / "store"
    path.mkdir(parents=True, exist_ok=True)
    return Store(path=path)


async def _serve(host: str, apps: list[tuple[int, ASGIApp]]) -> None:
    servers = [_listen(host, port, app) for port, app in apps]
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, servers)
    await asyncio.gather(*(server.serve() for server in servers))


def _listen(host: str, port: int, app: ASGIApp) -> Server:
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    return Server(config)


def _stop(servers: list[Server]) -> None:
    for server in servers:
        server.should_exit = True
