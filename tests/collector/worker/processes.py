"""Runs the worker as a process of its own, against neighbours on given ports."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from spanwell.settings import Settings

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOBODY = "http://127.0.0.1:9"
RUBRIC = {"name": "help", "question": "Does it help?", "labels": {"pass": "yes", "fail": "no"}, "pass": "pass"}
JUDGE = {"name": "helpful", "rubric": "rubric.yaml", "model": "judge", "sample": 1.0, "every_seconds": 1}
RULE = {"name": "slow", "metric": "p95_ms", "op": ">", "threshold": 2000, "receiver": "oncall", "every_seconds": 1}


def configured(
    tmp_path: Path,
    *,
    collector: str = NOBODY,
    proxy: str = NOBODY,
    receiver: str = NOBODY,
    drift: dict[str, Any] | None = None,
) -> dict[str, str]:
    """The environment of a worker with one judge and one rule that fires at once; drift is off unless given."""
    (tmp_path / "rubric.yaml").write_text(json.dumps(RUBRIC))
    receivers = [{"name": "oncall", "url": receiver, "secret": SECRET, "allow_private": True}]
    document = {
        "judges": [JUDGE],
        "drift": drift or {"enabled": False},
        "alerts": {"receivers": receivers, "rules": [RULE]},
    }
    (tmp_path / "spanwell.yaml").write_text(json.dumps(document))
    settings = Settings(
        data=tmp_path / "data",
        config=tmp_path / "spanwell.yaml",
        collector_port=urlsplit(collector).port or 0,
        proxy_port=urlsplit(proxy).port or 0,
    )
    return {**bare_environ(), **settings.environ()}


def bare_environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("SPANWELL_")}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "spanwell_collector.worker", *arguments]


@contextmanager
def running(environ: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker, killed at the end if it still runs; its log lies beside its data."""
    with Path(environ["SPANWELL_DATA"]).with_suffix(".log").open("ab") as log:
        process = subprocess.Popen(command(), env=environ, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
