import os
import signal
import sys
from pathlib import Path

import pytest

from spanwell.health import free_port
from tests.bench.processes import Server, footprint, process_tree, running, wait_for

SPIN = (
    "import subprocess, sys, time; deadline = time.process_time() + 0.2\nwhile time.process_time() < deadline: pass\n"
)
CHILD = "import time; time.sleep(30)"
PARENT = SPIN + f"subprocess.run([sys.executable, '-c', '{CHILD}'])"


def test_the_footprint_covers_the_process_and_its_children(tmp_path: Path) -> None:
    with running([sys.executable, "-c", PARENT], core=0, log=tmp_path / "log") as server:
        child = find_child(server)

        used = footprint(server.pid)
        alone = footprint(child)
        os.kill(child, signal.SIGKILL)

    assert used.cpu_s >= 0.2
    assert used.rss_mb > alone.rss_mb > 0


def find_child(server: Server) -> int:
    """The server's only child, once it runs: until then its memory is its parent's, or none."""
    while server.process.poll() is None:
        for child in process_tree(server.pid)[1:]:
            if (
                CHILD.encode() in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
                and footprint(child).rss_mb > 1
            ):
                return child
    raise AssertionError("the server has ended")


def test_a_server_that_ends_at_once_is_reported(tmp_path: Path) -> None:
    with (
        running([sys.executable, "-c", "raise SystemExit(3)"], core=0, log=tmp_path / "log") as server,
        pytest.raises(RuntimeError, match="ended with status 3"),
    ):
        wait_for(f"http://127.0.0.1:{free_port()}/health", server)
