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
PARENT = SPIN + "subprocess.run([sys.executable, '-c', 'import time; time.sleep(30)'])"


def test_the_footprint_covers_the_process_and_its_children(tmp_path: Path) -> None:
    with running([sys.executable, "-c", PARENT], core=0, log=tmp_path / "log") as server:
        child = find_child(server)

        used = footprint(server.pid)
        alone = footprint(child)
        os.kill(child, signal.SIGKILL)

    assert used.cpu_s >= 0.2
    assert used.rss_mb > alone.rss_mb > 0


def find_child(server: Server) -> int:
    """The server's only child, once it is more than a fork: until then nothing of it is resident."""
    while server.process.poll() is None:
        children = process_tree(server.pid)[1:]
        if children and footprint(children[0]).rss_mb > 1:
            return children[0]
    raise AssertionError("the server has ended")


def test_a_server_that_ends_at_once_is_reported(tmp_path: Path) -> None:
    with (
        running([sys.executable, "-c", "raise SystemExit(3)"], core=0, log=tmp_path / "log") as server,
        pytest.raises(RuntimeError, match="ended with status 3"),
    ):
        wait_for(f"http://127.0.0.1:{free_port()}/health", server)
