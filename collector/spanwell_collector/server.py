"""Puts the collector together, serves until a signal, and takes it apart again without losing anything."""

import asyncio
import contextlib
import fcntl
import gc
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import uvicorn
import uvloop
from anyio import to_thread
from starlette.types import ASGIApp

from spanwell.config import load_config
from spanwell.errors import ConfigError, StoreError
from spanwell.pricing import load_price_table
from spanwell.settings import Settings
from spanwell.spool import Spool
from spanwell_collector import telemetry
from spanwell_collector.access.gate import Gate
from spanwell_collector.access.registrar import Registrar, keep_fresh
from spanwell_collector.app import Parts, build_app
from spanwell_collector.dialects.compile import render_mapping
from spanwell_collector.dialects.mapping import load_mapping
from spanwell_collector.dialects.refine import needs_refining, refine
from spanwell_collector.door.app import build_door
from spanwell_collector.ingest.dead import move_files
from spanwell_collector.ingest.journal import Journal
from spanwell_collector.ingest.sink import Sink
from spanwell_collector.ingest.spans import Refiner
from spanwell_collector.ingest.writer import Writer
from spanwell_collector.lifecycle.backup import find_backups
from spanwell_collector.lifecycle.forget import sweep_keys
from spanwell_collector.lifecycle.retention import apply_rules, make_rules, read_retention
from spanwell_collector.prices.pools import read_pools
from spanwell_collector.prices.spreading import start_spreading
from spanwell_collector.prices.table import bring_up_to_date
from spanwell_collector.queries.ledger import list_accepted
from spanwell_collector.receivers.grpc import build_grpc_server, join_address
from spanwell_collector.receivers.intake import Room
from spanwell_collector.store.client import Store
from spanwell_collector.store.guarded import GuardedEngine
from spanwell_collector.store.migrate import load_migrations, migrate
from spanwell_collector.store.pipeline.install import install_pipeline, render_pipeline
from spanwell_collector.upkeep import start_upkeep

logger = logging.getLogger("spanwell.collector")

FAILED: Final = 1
MAX_CONNECTIONS: Final = 1000
STOP_SECONDS: Final = 5  # that calls under way have to end
QUESTION_THREADS: Final = 8  # of the query API; each has a client of its own


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals to us: two of them share one loop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(settings: Settings) -> None:
    """Run the collector until SIGTERM or SIGINT.

    Raises StoreError when the store cannot be opened, ConfigError when a port is taken.
    """
    settings = _anchor(settings)
    config = load_config(settings.config)
    rules = make_rules(read_retention(config.retention))
    threading.excepthook = _end_process
    tune_interpreter()
    with contextlib.ExitStack() as stack:
        stack.enter_context(hold_lock(settings.data / "collector" / "lock"))
        work_in(settings.data / "collector" / "scratch")
        ports = [settings.collector_port] + ([] if settings.clickhouse_dsn else [settings.sql_port])
        sockets = [stack.enter_context(bind(settings.host, port)) for port in ports]
        bind(settings.host, settings.grpc_port).close()  # gRPC opens its own, and says less when it cannot
        store = open_store(settings)
        stack.callback(store.close)
        for name in migrate(store, load_migrations()):
            logger.info("applied migration %s", name)
        mapping = load_mapping()
        if install_pipeline(store, render_pipeline(render_mapping(mapping))):
            logger.info("made the views anew")
        changed = bring_up_to_date(store, load_price_table(), config, datetime.now(UTC))
        if changed:
            logger.info("%d prices changed", changed)
        sweep_keys(store)
        for rule in apply_rules(store, rules):
            logger.info("%s: rows end by %s", rule.table, rule.ttl)
        gate = Gate(settings.api_token)
        registrar = Registrar(store, gate)
        registrar.refresh()
        stack.callback(keep_fresh(registrar))
        refiner = Refiner(needs_refining, partial(refine, mapping=mapping))
        sink = Sink(store, refiner, project=settings.project, dead=settings.data / "collector" / "dead")
        parts = Parts(store, _start_journal(settings, store, sink, stack), sink, Room(), gate, registrar)
        apps = [build_app(settings, parts)]
        stack.callback(start_upkeep(store))
        stack.callback(start_spreading(store, read_pools(config, settings.project)))
        if not settings.clickhouse_dsn:
            apps.append(_open_door(settings, store, gate, stack))
        address = join_address(settings.host, settings.grpc_port)
        grpc = partial(build_grpc_server, address, parts.journal, parts.room, gate)
        uvloop.run(_serve(sockets, apps, grpc))


def _anchor(settings: Settings) -> Settings:
    """With whole paths: this process is about to work in a directory of its own, which the next one clears."""
    named = {name: getattr(settings, name) for name in ("data", "config", "backup_dir")}
    return replace(settings, **{name: path.absolute() for name, path in named.items() if path is not None})


def tune_interpreter() -> None:
    """Keep the loop answering while threads decode large requests: 20 MB of JSON held it for a second, now for a fifth
    of one. The collector of cycles went over a million new objects again and again, and a thread in Python's own code
    lets go of the interpreter only when its turn is over."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    sys.setswitchinterval(0.001)


def _start_journal(settings: Settings, store: Store, sink: Sink, stack: contextlib.ExitStack) -> Journal:
    home = settings.data / "collector"
    move_files(store, home / "dead", project=settings.project)
    spool = Spool(home / "spool", max_bytes=settings.spool_max_mb << 20)
    if spool.torn_bytes:
        logger.warning("cut %d bytes that no whole record holds off the spool", spool.torn_bytes)
    if spool.damaged_bytes:
        logger.error("%d bytes of the spool are damaged: *.damaged in %s", spool.damaged_bytes, spool.directory)
    telemetry.DAMAGED_BYTES.inc(spool.torn_bytes + spool.damaged_bytes)
    writer = Writer(sink, left=spool.sealed(), stored=lambda segment, seconds: journal.forget(segment, seconds))
    journal = Journal(spool, flush_seconds=settings.flush_ms / 1000, deliver=writer.put, durability=settings.durability)
    for stop in (journal.close, writer.close, journal.seal):  # called last to first
        stack.callback(stop)
    journal.start(list_accepted(store))
    writer.start()
    return journal


def _open_door(settings: Settings, store: Store, gate: Gate, stack: contextlib.ExitStack) -> ASGIApp:
    engine = GuardedEngine(settings.data / "store")
    stack.callback(engine.close)
    return build_door(engine, version=store.version, gate=gate)


@contextlib.contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Own the data directory while the block runs. Raises StoreError when another collector does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"another collector already serves {path.parent.parent}: stop it first") from None
        yield


def work_in(scratch: Path) -> None:
    """Make `scratch`, empty, the place for what the engine and its client write beside the store.

    That is each insert on its way in, prompts included, and the schema it is parsed with. Only a directory of ours is
    sure to be writable, and to be cleared of what a process that was killed has left.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(mode=0o700)
    os.chdir(scratch)
    tempfile.tempdir = str(scratch)


def _end_process(failure: threading.ExceptHookArgs) -> None:
    """A thread that has died would leave senders waiting for ever. What was acknowledged is on the disk."""
    name = failure.thread.name if failure.thread else "a thread"
    error = failure.exc_value or failure.exc_type()
    logger.critical("%s failed", name, exc_info=error)
    os._exit(FAILED)


def open_store(settings: Settings) -> Store:
    if settings.clickhouse_dsn:
        return Store(dsn=settings.clickhouse_dsn, cluster=settings.cluster)
    path = settings.data / "store"
    path.mkdir(parents=True, exist_ok=True)
    return Store(path=path, backups=find_backups(settings))


def bind(host: str, port: int) -> socket.socket:
    """Listen on `port`. Raises ConfigError when something else does."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise ConfigError(f"cannot listen on {host} port {port}: {error.strerror}") from error


async def _serve(sockets: list[socket.socket], apps: list[ASGIApp], build_grpc: Callable[[], Any]) -> None:
    to_thread.current_default_thread_limiter().total_tokens = QUESTION_THREADS
    servers = [Server(_configure(app)) for app in apps]
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, servers)
    for listener in sockets:
        logger.info("listening on %s port %d", *listener.getsockname()[:2])
    grpc = build_grpc()
    await grpc.start()
    await asyncio.gather(*(server.serve(sockets=[listener]) for server, listener in zip(servers, sockets, strict=True)))
    await grpc.stop(STOP_SECONDS)


def _configure(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )


def _stop(servers: list[Server]) -> None:
    for server in servers:
        server.should_exit = True
