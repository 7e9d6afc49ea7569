"""`spanwell up`: one house a directory, ports, and the order of starting and stopping, over small fake services."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from spanwell.cli.up import Plan, child_environ, lock_data, make_plan, ready_text, wait_for_ports
from spanwell.errors import SpanwellError
from spanwell.settings import Settings

SCRIPT = """
import asyncio, os, sys
from functools import partial
from pathlib import Path
from spanwell.cli import up
from spanwell.settings import Settings
from spanwell.supervisor import Service

FAKE = '''
import signal, sys, time
from pathlib import Path
name, folder = sys.argv[1], Path(sys.argv[2])
def stop(*_):
    with (folder / "order").open("a") as order: order.write("-" + name + " ")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
if (folder / (name + ".bad")).exists(): print("error: bad config"); sys.exit(2)
with (folder / "order").open("a") as order: order.write("+" + name + " ")
(folder / name).touch()
time.sleep(60)
'''

async def exists(path): return path.exists()

folder = Path(sys.argv[1])
services = [
    Service(name, (sys.executable, "-c", FAKE, name, str(folder)), partial(exists, folder / name), dict(os.environ))
    for name in ("collector", "proxy", "worker", "dashboard", "demo")
]
sys.exit(asyncio.run(up.supervise(up.Plan(Settings(data=folder), services, "sk-demo", is_demo=True))))
"""


@pytest.fixture(name="house")
def fake_house(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    yield process
    process.kill()
    process.communicate(timeout=10)


def read_until_ready(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    text = ""
    while not text.endswith("\nready\n") and (line := process.stdout.readline()):
        text += line
    return text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_starts_and_stops_in_order(house: "subprocess.Popen[str]", tmp_path: Path, number: signal.Signals) -> None:
    shown = read_until_ready(house)

    house.send_signal(number)
    rest, _ = house.communicate(timeout=20)

    order = (tmp_path / "order").read_text(encoding="utf-8").split()
    assert house.returncode == 0
    assert (order[0], sorted(order[1:5])) == ("+collector", ["+dashboard", "+demo", "+proxy", "+worker"])
    assert order[5:] == ["-dashboard", "-worker", "-proxy", "-demo", "-collector"]
    assert shown.count("| ok") == 5
    assert rest.splitlines() == ["stopping; Ctrl-C again kills at once, and what is not stored yet is lost", "stopped"]


def test_a_service_that_refuses_its_configuration_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "collector.bad").touch()

    ran = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, timeout=30)

    assert ran.returncode == 1
    assert "collector | error: bad config" in ran.stdout
    assert "collector | refused to start, see above" in ran.stdout
    assert not (tmp_path / "order").exists()


def test_a_second_house_on_the_directory_is_refused(tmp_path: Path) -> None:
    with lock_data(tmp_path):
        ran = subprocess.run(
            [sys.executable, "-m", "spanwell.cli", "up", "--data", str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=30,
        )

    assert (ran.returncode, ran.stderr) == (1, f"error: already running (pid {os.getpid()}) on {tmp_path}\n")


def test_the_directory_is_free_again_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with lock_data(tmp_path):
            assert (tmp_path / "up.lock").read_text(encoding="ascii") == f"{os.getpid()}\n"


def test_a_busy_port_is_named_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spanwell.cli.up.PORT_WAIT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(SpanwellError, match=f"port {port} of the .* is in use: .* or set SPANWELL_"):
            wait_for_ports(Settings(collector_port=port, grpc_port=port, sql_port=port))


def test_with_a_configuration_there_is_no_demo(tmp_path: Path) -> None:
    path = tmp_path / "spanwell.yaml"
    path.write_text("model_list: []\n", encoding="utf-8")

    plan = make_plan(Settings(config=path, data=tmp_path), {"PATH": "/bin"})

    assert [service.name for service in plan.services] == ["collector", "proxy", "worker", "dashboard"]
    assert {service.environ["SPANWELL_CONFIG"] for service in plan.services} == {str(path)}


def test_without_one_the_demo_comes_last(tmp_path: Path) -> None:
    plan = make_plan(Settings(data=tmp_path), {})

    assert plan.services[-1].name == "demo"
    assert plan.settings.config == tmp_path / "demo" / "spanwell.yaml"
    assert plan.api_key == "sk-spanwell-demo"


def test_a_child_gets_the_settings_and_nothing_stale() -> None:
    settings = Settings(data=Path("/d"), proxy_port=5000)

    environ = child_environ(settings, {"PATH": "/bin", "SPANWELL_API_TOKEN": "old", "SPANWELL_PROXY_PORT": "1"})

    assert (environ["PATH"], environ["SPANWELL_PROXY_PORT"]) == ("/bin", "5000")
    assert "SPANWELL_API_TOKEN" not in environ
    assert Settings.load(environ) == settings


def test_the_ready_text_says_where_things_are() -> None:
    plan = Plan(Settings(data=Path("/d")), [], "sk-x", is_demo=False)

    text = ready_text(plan)

    assert "export OPENAI_BASE_URL=http://127.0.0.1:4000/v1" in text
    assert "simulated" not in text
    assert "your ClickHouse server" in ready_text(replace(plan, settings=Settings(clickhouse_dsn="clickhouse://u:p@h")))
    assert "u:p@h" not in ready_text(replace(plan, settings=Settings(clickhouse_dsn="clickhouse://u:p@h")))
