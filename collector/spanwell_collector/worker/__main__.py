"""`python -m spanwell_collector.worker`: starts the worker, or only checks its configuration with `--check`."""

import asyncio
import fcntl
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spanwell.config import load_config
from spanwell.errors import ConfigError
from spanwell.settings import Settings
from spanwell_collector.worker.jobs import run
from spanwell_collector.worker.sections import read_sections

NICENESS = 5  # a judge or a drift test may wait; the proxy's request may not

USAGE_ERROR = 2


def main(arguments: list[str]) -> int:
    """Exit code: 0 after a clean stop, 2 where the configuration is wrong."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: python -m spanwell_collector.worker [--check]\n")
        return USAGE_ERROR
    try:
        settings = Settings.load()
        config = read_sections(load_config(settings.config))
        if arguments:
            sys.stdout.write("ok\n")
            return 0
        with _only_worker(settings.data / "worker"):
            _log_to_stderr()
            os.nice(NICENESS)
            asyncio.run(run(settings, config))
    except ConfigError as error:
        sys.stderr.write(f"error: {error}\n")
        return USAGE_ERROR
    return 0


@contextmanager
def _only_worker(directory: Path) -> Iterator[None]:
    """Two workers would judge and alert twice: the second one is turned away. The lock dies with the process."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"another worker runs on {directory.parent}: stop it, or set SPANWELL_DATA") from error
        yield


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s worker %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log every URL


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
