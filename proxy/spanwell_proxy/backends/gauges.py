"""What /metrics shows of backends."""

import os
from contextlib import suppress
from typing import Final

from prometheus_client import Gauge

from spanwell_proxy.backends.load import Load
from spanwell_proxy.telemetry.metrics import REGISTRY

UP: Final = Gauge(
    "spanwell_backend_up",
    "1 while a backend answers its health checks.",
    ["backend"],
    registry=REGISTRY,
    multiprocess_mode="livemin",
)
WAITING, RUNNING, CACHE_USE = (
    Gauge(f"spanwell_backend_{name}", told, ["backend"], registry=REGISTRY, multiprocess_mode="livemax")
    for name, told in (
        ("waiting_requests", "Requests that wait, as the backend itself says."),
        ("running_requests", "Requests that run, as the backend itself says."),
        ("kv_cache_use_ratio", "Share of its KV cache in use, as the backend itself says."),
    )
)


def show_backend(name: str, load: Load | None, *, is_up: bool) -> None:
    UP.labels(name).set(is_up)
    if load:
        WAITING.labels(name).set(load.waiting)
        RUNNING.labels(name).set(load.running)
        CACHE_USE.labels(name).set(load.cache_use)


def hide_backend(name: str) -> None:
    """Where workers share their metrics through files a label cannot be taken back: it has no value then."""
    for gauge in (UP, WAITING, RUNNING, CACHE_USE):
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            gauge.labels(name).set(float("nan"))
        else:
            with suppress(KeyError):
                gauge.remove(name)
