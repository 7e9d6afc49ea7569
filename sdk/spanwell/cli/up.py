"""`spanwell up`: which processes make up Spanwell, in which order they start and stop, and what the user is told."""

import asyncio
import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from spanwell.cli.console import paint, say, write
from spanwell.config import Config, load_config
from spanwell.demo.config import write_demo_config
from spanwell.errors import ConfigError, SpanwellError
from spanwell.health import free_port, get_status, is_port_free
from spanwell.settings import PREFIX, Settings
from spanwell.supervisor import Child, Service

START_TIMEOUT_S = 60.0
STOP_GRACE_S = 12.0
PORT_WAIT_S = 5.0  # an earlier `spanwell up` that was killed may need this long to let go of its ports
# The demo's backend outlives the proxy's last calls.
STOP_ORDER = ("dashboard", "worker", "proxy", "demo", "collector")
BEARER = "    export OTEL_EXPORTER_OTLP_HEADERS='Authorization=Bearer <SPANWELL_API_TOKEN>'"
NEEDED = {"chdb": "collector", "fastapi": "proxy", "sklearn": "quality", "streamlit": "dashboard"}


@dataclass(frozen=True)
class Plan:
    """What to run, and what an application needs to reach it."""

    settings: Settings
    services: Sequence[Service]
    api_key: str  # what the user is told to export
    is_demo: bool


def run_up(settings: Settings) -> int:
    """Run everything until a signal arrives. The exit code: 0 after a clean stop, 1 if it could not start."""
    missing = [extra for module, extra in NEEDED.items() if find_spec(module) is None]
    if missing:
        raise ConfigError(f"this installation lacks {', '.join(missing)}: pip install 'spanwell[all]'")
    settings = replace(settings, data=settings.data.absolute())
    with lock_data(settings.data):
        wait_for_ports(settings)
        return asyncio.run(supervise(make_plan(settings, environ=dict(os.environ))))


@contextmanager
def lock_data(data: Path) -> Iterator[None]:
    """Hold the data directory for this process alone. Raises SpanwellError naming the one that holds it."""
    try:
        data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"SPANWELL_DATA={data}: {error.strerror}") from error
    with (data / "up.lock").open("a+", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise SpanwellError(f"already running (pid {lock.read().strip()}) on {data}") from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def wait_for_ports(settings: Settings) -> None:
    """Return once every port is free; raise SpanwellError naming the first that stays taken."""
    deadline = time.monotonic() + PORT_WAIT_S
    while taken := [
        field for field in port_fields(settings) if not is_port_free(settings.host, getattr(settings, field))
    ]:
        if time.monotonic() > deadline:
            port, variable = getattr(settings, taken[0]), PREFIX + taken[0].upper()
            raise SpanwellError(
                f"port {port} of the {taken[0].removesuffix('_port')} is in use: stop what uses it, or set {variable}"
            )
        time.sleep(0.2)


def port_fields(settings: Settings) -> list[str]:
    """Names of the settings that hold a port Spanwell will bind."""
    fields = ["collector_port", "grpc_port", "sql_port", "proxy_port", "dashboard_port"]
    return [field for field in fields if field != "sql_port" or not settings.clickhouse_dsn]


def make_plan(settings: Settings, environ: dict[str, str]) -> Plan:
    """The services of this configuration; without one, the demo's."""
    if settings.config is not None:
        config = load_config(settings.config)
        settings = replace(settings, config=settings.config.absolute())
        return Plan(settings, _services(settings, environ), _key_to_export(config, settings), is_demo=False)
    port = free_port("127.0.0.1")
    demo = write_demo_config(settings, port)
    settings = replace(settings, config=demo.path)
    services = [*_services(settings, environ), _demo_service(settings, environ, port)]
    return Plan(settings, services, demo.api_key, is_demo=True)


def _key_to_export(config: Config, settings: Settings) -> str:
    if config.general_settings.get("master_key"):
        return f"<a key made by: spanwell keys create NAME --config {settings.config}>"
    return "any-word  # no master_key is set: the gateway asks for no key"


def _services(settings: Settings, environ: dict[str, str]) -> list[Service]:
    dashboard_url = f"{settings.dashboard_url}/_stcore/health"
    heartbeat = settings.data / "worker" / "heartbeat"
    checks = {
        "collector": ("spanwell_collector", partial(_answers, f"{settings.collector_url}/health")),
        "proxy": ("spanwell_proxy", partial(_answers, f"{settings.proxy_url}/health")),
        "worker": ("spanwell_collector.worker", partial(_beats, heartbeat, time.time())),
        "dashboard": ("spanwell_dashboard", partial(_answers, dashboard_url)),
    }
    children = child_environ(settings, environ)
    return [
        Service(name, (sys.executable, "-m", module), is_healthy, children)
        for name, (module, is_healthy) in checks.items()
    ]


def _demo_service(settings: Settings, environ: dict[str, str], port: int) -> Service:
    command = (sys.executable, "-m", "spanwell.demo", "--port", str(port))
    return Service(
        "demo", command, partial(_answers, f"http://127.0.0.1:{port}/health"), child_environ(settings, environ)
    )


def child_environ(settings: Settings, environ: dict[str, str]) -> dict[str, str]:
    """The environment of every child: the caller's, with all `SPANWELL_*` as this process understood them."""
    others = {name: value for name, value in environ.items() if not name.startswith(PREFIX)}
    return {**others, **settings.environ(), "PYTHONUNBUFFERED": "1"}


async def _answers(url: str) -> bool:
    return await get_status(url) == 200


async def _beats(heartbeat: Path, since: float) -> bool:
    return _touched_at(heartbeat) >= since


def _touched_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


async def supervise(plan: Plan) -> int:
    """Start the plan's services, wait for a signal, stop them. 1 if one refused its configuration, else 0."""
    children = {service.name: Child(service, say) for service in plan.services}
    stop, hurry = asyncio.Event(), asyncio.Event()
    _listen_for_signals(stop, hurry)
    starting = asyncio.create_task(_start(children))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([starting, stopped], return_when=asyncio.FIRST_COMPLETED)
    failed = starting.done() and not starting.result()
    if starting.done() and not failed:
        write(ready_text(plan))
        await stopped
    starting.cancel()
    stopped.cancel()
    write("stopping; Ctrl-C again kills at once, and what is not stored yet is lost")
    await _stop(children, hurry)
    write("stopped")
    return 1 if failed else 0


def _listen_for_signals(stop: asyncio.Event, hurry: asyncio.Event) -> None:
    def on_signal() -> None:
        (hurry if stop.is_set() else stop).set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)


async def _start(children: dict[str, Child]) -> bool:
    """The collector first, then all that send to it. False if it does not come up, or one refuses to start."""
    for stage in (["collector"], ["proxy", "worker", "dashboard", "demo"]):
        starting = [children[name] for name in stage if name in children]
        for child in starting:
            child.start()
        healthy = await asyncio.gather(*(child.wait_healthy(START_TIMEOUT_S) for child in starting))
        for child, is_healthy in zip(starting, healthy, strict=True):
            say(child.service.name, "ok" if is_healthy else _why_not(child))
        if any(child.refused for child in starting) or (stage == ["collector"] and not all(healthy)):
            return False
    return True


def _why_not(child: Child) -> str:
    return "refused to start, see above" if child.refused else f"not healthy after {START_TIMEOUT_S:.0f} s"


async def _stop(children: dict[str, Child], hurry: asyncio.Event) -> None:
    async def in_order() -> None:
        for name in STOP_ORDER:
            if name in children:
                await children[name].stop(STOP_GRACE_S)

    stopping, hurried = asyncio.create_task(in_order()), asyncio.create_task(hurry.wait())
    await asyncio.wait([stopping, hurried], return_when=asyncio.FIRST_COMPLETED)
    hurried.cancel()
    while not stopping.done():
        for child in children.values():
            child.kill()
        await asyncio.wait([stopping], timeout=0.1)


def ready_text(plan: Plan) -> str:
    """What the user reads once everything works: where things are, and what to export."""
    settings = plan.settings
    sql = "your ClickHouse server" if settings.clickhouse_dsn else settings.sql_url
    lines = [
        "",
        paint(
            "Spanwell is ready" + (" (demo: every model and every call in it is simulated)" if plan.is_demo else ""), 1
        ),
        "",
        f"  dashboard   {settings.dashboard_url}",
        f"  proxy       {settings.proxy_url}/v1",
        f"  collector   {settings.collector_url}  (OTLP/HTTP and /api/v1; OTLP/gRPC on port {settings.grpc_port})",
        f"  SQL         {sql}  (database spanwell)",
        f"  data        {settings.data}",
        "",
        "  In the shell of your application:",
        f"    export OPENAI_BASE_URL={settings.proxy_url}/v1",
        f"    export OPENAI_API_KEY={plan.api_key}",
        f"    export OTEL_EXPORTER_OTLP_ENDPOINT={settings.collector_url}",
        *([BEARER] if settings.api_token else []),
        "",
        "  Ctrl-C stops everything.",
        "ready",
        "",
    ]
    return "\n".join(lines)
