"""The processes that serve: one in this process, or several on one port, started again when one dies."""

import asyncio
import gc
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from types import FrameType

import uvicorn
import uvloop
from prometheus_client.multiprocess import mark_process_dead

from spanwell.errors import ConfigError
from spanwell.settings import Settings
from spanwell_proxy.orphans import end_with_parent
from spanwell_proxy.plan import Plan
from spanwell_proxy.serving.app import create_app
from spanwell_proxy.serving.protocol import Protocol

logger = logging.getLogger(__name__)

BACKLOG = 2048
GRACE_S = 10  # for calls that are under way at shutdown
RESTART_PAUSE_S = 1.0
POLL_S = 0.2
# A call makes many short-lived objects and no cycles: at the default of 700, a fifth of its time went here.
GC_THRESHOLD = (50_000, 20, 20)


def run_workers(plan: Plan) -> int:
    """Serve until SIGTERM or SIGINT."""
    settings = plan.settings
    if settings.proxy_workers <= 1:
        return run_worker(plan, 0)
    reservation = bind(settings, shared=False)
    reservation.close()  # it was free: from here on the workers share it
    return _supervise(settings)


def run_worker(plan: Plan, number: int, parent: int | None = None) -> int:
    """Serve in this process, for as long as `parent` lives, where one is named."""
    listener = bind(plan.settings, shared=plan.settings.proxy_workers > 1)
    config = uvicorn.Config(
        create_app(plan, number),
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = uvicorn.Server(config)
    # uvicorn raises the signal again once it has shut down: that is no failure, and neither is one before it is up.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to read again
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    gc.freeze()  # what was loaded so far stays for good
    gc.set_threshold(*GC_THRESHOLD)
    logger.info("listening on %s port %d", plan.settings.host, plan.settings.proxy_port)
    with listener:
        uvloop.run(_serve(server, listener, parent))
    return 0 if server.started else 1


async def _serve(server: uvicorn.Server, listener: socket.socket, parent: int | None) -> None:
    watching = asyncio.create_task(end_with_parent(parent)) if parent else None
    await server.serve(sockets=[listener])
    if watching:
        watching.cancel()


def bind(settings: Settings, *, shared: bool) -> socket.socket:
    """A listening socket's beginning. Raises ConfigError where the port is taken."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((settings.host, settings.proxy_port))
    except OSError as error:
        listener.close()
        raise ConfigError(f"SPANWELL_PROXY_PORT={settings.proxy_port}: {error.strerror}") from error
    listener.setblocking(False)
    return listener


def _leave(_: int, __: FrameType | None) -> None:
    raise SystemExit(0)


def _supervise(settings: Settings) -> int:
    count, environ = settings.proxy_workers, os.environ | {"PROMETHEUS_MULTIPROC_DIR": _fresh_metrics(settings)}
    stopping = False

    def stop(_: int, __: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    def reload(_: int, __: FrameType | None) -> None:
        for worker in workers:
            worker.send_signal(signal.SIGHUP)

    workers: list[subprocess.Popen[bytes]] = []
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGHUP, reload)
    workers += [_start(number, environ) for number in range(count)]
    while not stopping:
        time.sleep(POLL_S)
        for number, worker in enumerate(workers):
            if worker.poll() is not None and not stopping:
                logger.error("worker %d ended with status %d; starting it again", number, worker.returncode)
                time.sleep(RESTART_PAUSE_S)
                mark_process_dead(worker.pid, environ["PROMETHEUS_MULTIPROC_DIR"])  # type: ignore[no-untyped-call]
                workers[number] = _start(number, environ)
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.wait()
    return 0


def _fresh_metrics(settings: Settings) -> str:
    """Where the workers' counters meet; those of an earlier run are gone."""
    folder = settings.data / "proxy" / "metrics"
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("*.db"):
        file.unlink()
    return str(folder)


def _start(number: int, environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "spanwell_proxy", "--worker", str(number), "--parent", str(os.getpid())], env=environ
    )
