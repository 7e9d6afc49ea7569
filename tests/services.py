"""Starts Spanwell's processes for tests: on free ports, in a directory of their own, stopped by their own pid."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from spanwell.health import free_port
from spanwell.settings import Settings

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Service:
    """A running process and the settings it was started with; its output goes to `log`."""

    process: subprocess.Popen[bytes]
    settings: Settings
    log: Path

    def stop(self, number: int = signal.SIGTERM, *, seconds: float = 15) -> int:
        """Signal it and return its exit code; its log is raised when it does not stop."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"did not stop in {seconds} s:\n{self.log.read_text()}") from None


def start(module: str, settings: Settings, health_url: str, *, seconds: float = 30) -> Service:
    """Run `python -m module` and return when `health_url` answers 200."""
    settings.data.mkdir(parents=True, exist_ok=True)
    log = settings.data / f"{module}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module], env=clean_environ() | settings.environ(), stdout=output, stderr=output
        )
    service = Service(process, settings, log)
    deadline = time.monotonic() + seconds
    while not answers(health_url):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise AssertionError(f"{module} did not answer at {health_url}:\n{log.read_text()}")
        time.sleep(0.05)
    return service


def answers(url: str) -> bool:
    """Whether `url` answers 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def start_collector(data: Path, environ: Mapping[str, str] | None = None) -> Service:
    """A collector on free ports that keeps its data in `data`; `environ` adds SPANWELL_* variables."""
    settings = make_collector_settings(data, environ)
    return start("spanwell_collector", settings, f"{settings.collector_url}/health")


def make_collector_settings(data: Path, environ: Mapping[str, str] | None = None) -> Settings:
    """Settings with free ports, and a short flush."""
    return Settings.load(
        {
            "SPANWELL_DATA": str(data),
            "SPANWELL_COLLECTOR_PORT": str(free_port()),
            "SPANWELL_SQL_PORT": str(free_port()),
            "SPANWELL_GRPC_PORT": str(free_port()),
            "SPANWELL_FLUSH_MS": "50",
            **(environ or {}),
        }
    )


def clean_environ() -> dict[str, str]:
    """This process's environment without what configures Spanwell."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SPANWELL_")}
