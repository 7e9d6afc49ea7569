"""Connects the program to the collector: `configure`, `flush`, `shutdown`.

Importing Spanwell loads OpenTelemetry's API alone; the exporter is loaded here, by `configure` or the first span.
"""

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

from opentelemetry.trace import NoOpTracer, Tracer

from spanwell import conventions as names
from spanwell.endpoint import Endpoint, read_endpoint
from spanwell.errors import ConfigError, logger, shielded
from spanwell.outbox import Delivery

FLUSH_S = 5.0
EXIT_S = 3.0  # the longest a program's end waits for a slow collector; one that is away costs nothing


@dataclass(frozen=True)
class Runtime:
    """What spans and scores need: a tracer, a clock (None: the system's), and where scores go."""

    tracer: Tracer
    captures_content: bool
    put_score: Callable[[dict[str, Any]], None]
    flush: Callable[[float], Delivery]
    close: Callable[[float], None]
    now_ns: Callable[[], int] | None = None


OFF = Runtime(NoOpTracer(), False, lambda _: None, lambda _: Delivery(), lambda _: None)

_runtime: Runtime | None = None
_lock = threading.RLock()
_is_guarded = False  # whether the process delivers its spans when it ends


def configure(
    *,
    service_name: str | None = None,
    app: str | None = None,
    environment: str | None = None,
    project: str | None = None,
    endpoint: str | None = None,
    token: str | None = None,
    capture_content: bool | None = None,
) -> None:
    """Connect this program to a collector. Optional: the first span connects with what the environment says.

    `endpoint` is the collector's base address, by default OTEL_EXPORTER_OTLP_ENDPOINT or http://127.0.0.1:4318.
    `token` is the collector's SPANWELL_API_TOKEN. `capture_content=False` keeps arguments, results, and anything else
    a model or a user wrote out of the spans. If the program has an OpenTelemetry provider already, Spanwell joins it.
    Called again, it replaces what was configured before. Raises ConfigError for an address that is none.
    """
    environ = os.environ
    resource = {
        names.SERVICE_NAME: service_name,
        names.APP: app,
        names.ENVIRONMENT: environment,
        names.PROJECT: project or environ.get("SPANWELL_PROJECT"),
    }
    if capture_content is None:
        capture_content = environ.get("SPANWELL_CAPTURE_CONTENT", "true").lower() not in ("false", "0")
    target = read_endpoint(endpoint, token or environ.get("SPANWELL_API_TOKEN"), environ)
    with _lock:
        if _runtime is not None:
            _runtime.close(EXIT_S)
        if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
            install(OFF)
            return
        given = {name: value for name, value in resource.items() if value}
        install(_connect(target, given, captures_content=capture_content))


def current() -> Runtime:
    """The runtime in force; the first call connects."""
    runtime = _runtime
    if runtime is not None:
        return runtime
    with _lock:
        if _runtime is None:
            with shielded("connect to a collector"):
                try:
                    configure()
                except ConfigError as error:
                    logger.warning("spanwell records nothing: %s", error)
        if _runtime is None:
            install(OFF)
        return _runtime or OFF


def peek() -> Runtime | None:
    """The runtime in force, if there is one yet."""
    return _runtime


def install(runtime: Runtime | None) -> None:
    """Make `runtime` the one in force; None lets the next span connect anew."""
    global _runtime
    _runtime = runtime


def flush(timeout_s: float = FLUSH_S) -> Delivery:
    """Deliver what waits. Returns at once when done or when the collector is away, after `timeout_s` at the latest.

    The counts are this process's since it was configured, spans and scores together.
    """
    return _runtime.flush(timeout_s) if _runtime is not None else Delivery()


def shutdown(timeout_s: float = EXIT_S) -> None:
    """Deliver what waits and stop; later spans are not recorded. Happens by itself when the program ends."""
    with _lock:
        if _runtime is not None:
            _runtime.close(timeout_s)
        install(OFF)


def _connect(target: Endpoint, resource: Mapping[str, str], *, captures_content: bool) -> Runtime:
    from spanwell.pipeline import Pipeline, attach_to_provider  # noqa: PLC0415 - the weight that import must not have

    pipeline = Pipeline(target, resource)
    tracer = attach_to_provider(pipeline).get_tracer("spanwell")
    _guard_the_end()
    return Runtime(tracer, captures_content, pipeline.scores.put, pipeline.flush, pipeline.close)


def _guard_the_end() -> None:
    """Deliver at a normal end, in children of `fork`, and on SIGTERM if the host leaves that to the system."""
    global _is_guarded
    if _is_guarded:
        return
    _is_guarded = True
    atexit.register(_end)
    os.register_at_fork(after_in_child=_start_over)
    _guard_multiprocessing()
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)


def _start_over() -> None:
    """A forked child's first act: another thread of its parent may have held the lock, and never lets go here."""
    global _lock
    _lock = threading.RLock()
    _guard_multiprocessing()


def _guard_multiprocessing() -> None:
    """A child of multiprocessing leaves by os._exit, past atexit; its own finalizers run, once it has cleared ours."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.register_after_fork(_end, lambda end: util.Finalize(None, end, exitpriority=0))


def _end() -> None:
    with shielded("deliver at the end of the process"):
        shutdown()


def _on_sigterm(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    _end()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)
