"""`spanwell doctor`: looks at versions, settings, ports, disk, processes and backends, and says what to do."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from spanwell.backends import read_backends
from spanwell.cli.administration import find_config
from spanwell.cli.console import paint, write
from spanwell.cli.up import child_environ, port_fields
from spanwell.config import Config, load_config
from spanwell.errors import ConfigError
from spanwell.health import get_status, is_port_free
from spanwell.masking import mask_secrets
from spanwell.settings import PREFIX, Settings

Verdict = Literal["ok", "warn", "fail"]
COLOURS = {"ok": 32, "warn": 33, "fail": 31}
LOW_DISK_GB = 2.0
BAD_LITELLM = ("1.82.7", "1.82.8")  # published by somebody who had stolen the maintainers' access
BACKEND_TIMEOUT_S = 2.0
PACKAGES = {
    "opentelemetry-sdk": "",
    "chdb": "collector",
    "clickhouse-connect": "collector",
    "litellm": "proxy",
    "aiohttp": "proxy",
    "scikit-learn": "quality",
    "streamlit": "dashboard",
}
HEALTH_PATHS = {
    "proxy_port": "/health",
    "collector_port": "/health",
    "sql_port": "/ping",
    "dashboard_port": "/_stcore/health",
}
NAMES = {"sql_port": "SQL door", "grpc_port": "collector for gRPC"}


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    verdict: Verdict
    what: str
    advice: str = ""


def run_doctor(settings: Settings) -> int:
    """Print the report; 1 if anything failed."""
    findings = []
    for finding in examine(settings):
        findings.append(finding)
        advice = f"  -> {finding.advice}" if finding.advice else ""
        write(mask_secrets(f"{paint(finding.verdict.ljust(4), COLOURS[finding.verdict])}  {finding.what}{advice}"))
    return 1 if any(finding.verdict == "fail" for finding in findings) else 0


def examine(settings: Settings) -> Iterator[Finding]:
    """Every finding, cheapest first."""
    yield check_python(sys.version_info[:3])
    yield from (check_package(name, extra, _installed(name)) for name, extra in PACKAGES.items())
    yield from check_data(settings.data)
    path = find_config(settings)
    try:
        config = load_config(path)
    except ConfigError as error:
        yield Finding("fail", f"configuration: {error}", "correct the file")
        return
    yield Finding("ok", f"configuration: {path or 'none; `spanwell up` starts the demo'}")
    if path is not None:
        yield from check_services(replace(settings, config=path))
        yield check_keys(config)
    yield from asyncio.run(_ask_network(settings, config))


def check_python(found: tuple[int, int, int]) -> Finding:
    text = "Python " + ".".join(map(str, found))
    return Finding("ok", text) if found >= (3, 11) else Finding("fail", text, "install Python 3.11 or newer")


def check_package(name: str, extra: str, found: str | None) -> Finding:
    """A package that is missing, or known to be harmful."""
    if found is None:
        wanted = f"spanwell[{extra}]" if extra else "spanwell"
        return Finding("warn" if extra else "fail", f"{name} is not installed", f"pip install '{wanted}'")
    if name == "litellm" and found in BAD_LITELLM:
        return Finding(
            "fail", f"litellm {found} is a release with malware in it", "remove it, and change every secret here"
        )
    return Finding("ok", f"{name} {found}")


def check_data(data: Path) -> Iterator[Finding]:
    """Whether the data directory can be written, and how much room its disk has."""
    place = next(folder for folder in (data.absolute(), *data.absolute().parents) if folder.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        trouble = "is not writable" if place.is_dir() else "is a file"
        yield Finding("fail", f"data directory {data}: {place} {trouble}", "choose another with SPANWELL_DATA")
        return
    yield Finding("ok", f"data directory {data} is writable")
    free_gb = shutil.disk_usage(place).free / 1e9
    roomy = free_gb >= LOW_DISK_GB
    yield Finding("ok" if roomy else "warn", f"{free_gb:.1f} GB free", "" if roomy else "make room: spans need disk")


def check_services(settings: Settings) -> Iterator[Finding]:
    """Ask each service to validate its own part of the configuration."""
    for name in ("spanwell_proxy", "spanwell_collector", "spanwell_collector.worker"):
        answer = subprocess.run(
            [sys.executable, "-m", name, "--check"],
            env=child_environ(settings, dict(os.environ)),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        said = (answer.stdout + answer.stderr).strip().splitlines()
        if answer.returncode == 0:
            yield Finding("ok", f"{name} accepts the configuration")
        else:
            yield Finding(
                "fail",
                f"{name}: {said[-1] if said else answer.returncode}",
                "do as it says",
            )


def check_keys(config: Config) -> Finding:
    """Whether callers have to show a key."""
    key = str(config.general_settings.get("master_key") or "")
    if not key:
        return Finding("warn", "no master key: the gateway asks for none", "set general_settings.master_key")
    if len(key) < 16:
        return Finding("warn", f"the master key has {len(key)} characters", "use 32 random ones")
    return Finding("ok", "a master key is set")


async def _ask_network(settings: Settings, config: Config) -> list[Finding]:
    ports = [_check_port(settings, field) for field in port_fields(settings)]
    named = group_backends(config.model_list) | {one.base: [one.name] for one in read_backends(config)}
    backends = [_check_backend(address, names) for address, names in named.items()]
    return list(await asyncio.gather(*ports, *backends))


async def _check_port(settings: Settings, field: str) -> Finding:
    port, name = getattr(settings, field), NAMES.get(field, field.removesuffix("_port"))
    if is_port_free(settings.host, port):
        return Finding("ok", f"port {port} of the {name} is free; it is not running")
    asked = "collector_port" if field == "grpc_port" else field  # gRPC is the collector's too, and not plain HTTP
    address: str = getattr(settings, asked.replace("_port", "_url"))
    status = await get_status(address + HEALTH_PATHS[asked], BACKEND_TIMEOUT_S)
    if status == 200:
        return Finding("ok", f"the {name} answers on port {port}")
    advice = f"stop what uses it, or set {PREFIX}{field.upper()}"
    return Finding("fail", f"port {port} of the {name} is taken by something that is not healthy", advice)


def group_backends(model_list: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Model names by the address that serves them; models without an `api_base` are hosted, and not asked."""
    groups: dict[str, list[str]] = {}
    for entry in model_list:
        address = (entry.get("litellm_params") or {}).get("api_base")
        if address:
            groups.setdefault(str(address).rstrip("/"), []).append(str(entry.get("model_name")))
    return groups


async def _check_backend(address: str, names: list[str]) -> Finding:
    """Any answer below 500 shows that a server is there: without a key it may well be 401."""
    status = await get_status(f"{address}/models", BACKEND_TIMEOUT_S)
    who = f"backend {urlsplit(address).netloc.rpartition('@')[2]} of {', '.join(sorted(set(names)))}"
    if status == 404 and await get_status(f"{address}/v1/models", BACKEND_TIMEOUT_S) not in (None, 404):
        return Finding("fail", f"{who} has no {urlsplit(address).path}/models", "end api_base with /v1")
    if status is None or status == 404:
        status = await get_status(f"{address.removesuffix('/v1')}/health", BACKEND_TIMEOUT_S)
    if status is None:
        return Finding("fail", f"{who} does not answer", "start it, or correct api_base")
    if status >= 500:
        return Finding("warn", f"{who} answers {status}", "look at its log")
    return Finding("ok", f"{who} answers")


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
