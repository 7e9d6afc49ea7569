"""Arguments and reports of the `spanwell` command: keys over a real HTTP server, the doctor's findings, help texts."""

import argparse
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from spanwell.cli.doctor import check_data, check_keys, check_package, check_python, examine, group_backends
from spanwell.cli.keys import read_budget
from spanwell.cli.main import NOUNS, build_parser, main
from spanwell.cli.tables import table
from spanwell.config import Config
from spanwell.health import free_port, get_status, is_port_free
from spanwell.settings import Settings

SPENDING = {
    "spent_usd": {"day": "1", "total": "3"},
    "budgets": [{"usd": "5", "period": "day", "left_usd": "4", "resets_at": "2026-11-22"}],
}
ENTRY = {
    "at": "now",
    "who": "key_2",
    "action": "change",
    "kind": "team",
    "id": "red",
    "before": {"rpm": 1, "tpm": 2},
    "after": {"rpm": 3, "tpm": 2},
}
MASTER_KEY = "sk-master-0123456789abcdef"


class Gateway:
    """The administration API as the proxy has it, and what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str, Any]] = []
        self.port = 0


@pytest.fixture(name="gateway")
def running_gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    gateway = Gateway()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            gateway.asked.append((self.command, self.path, self.headers["Authorization"], json.loads(body or "null")))
            found = "missing" not in self.path
            keys = [
                {"id": "key_1", "name": "alice", "team": "", "budgets": [{"usd": 5.0, "period": "day"}], "models": []}
            ]
            error = {"error": {"message": "there is no key 'missing'"}}
            document = {"id": "key_1", "key": "sk-new", "keys": keys, "audit": [ENTRY]} | SPENDING
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write(json.dumps(document if found else error).encode())

        do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        gateway.port = server.server_address[1]
        (tmp_path / "spanwell.yaml").write_text(f"general_settings: {{master_key: {MASTER_KEY}}}", encoding="utf-8")
        monkeypatch.setenv("SPANWELL_PROXY_PORT", str(gateway.port))
        monkeypatch.setenv("SPANWELL_CONFIG", str(tmp_path / "spanwell.yaml"))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield gateway
        server.shutdown()
        thread.join()


def test_a_key_is_made_and_printed(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["keys", "create", "alice", "--team", "red", "--model", "chat", "--budget", "5/day"])

    wanted = {"name": "alice", "team": "red", "models": ["chat"], "budgets": [{"usd": "5", "period": "day"}]}
    assert (code, capsys.readouterr().out) == (0, "sk-new\n")
    assert gateway.asked == [("POST", "/admin/keys", f"Bearer {MASTER_KEY}", wanted)]


def test_keys_are_listed_without_empty_columns(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "list"]) == 0

    assert capsys.readouterr().out == "id     name   budgets\nkey_1  alice  5.0/day\n"


def test_keys_are_blocked_and_deleted_by_id(gateway: Gateway) -> None:
    assert [main(["keys", "block", "key_1"]), main(["keys", "delete", "a/b"])] == [0, 0]

    assert [asked[:2] for asked in gateway.asked] == [
        ("POST", "/admin/keys/key_1/block"),
        ("DELETE", "/admin/keys/a%2Fb"),
    ]


def test_a_team_and_a_member_are_made_with_limits(gateway: Gateway) -> None:
    limited = ["--budget", "5/day", "--soft", "0.8", "--downgrade", "small", "--rpm", "60", "--metadata", '{"a": 1}']
    assert main(["teams", "create", "red", *limited]) == 0
    assert main(["members", "create", "ada", "--team", "red", "--role", "team_admin"]) == 0

    budget = {"usd": "5", "period": "day", "soft": 0.8, "downgrade": "small"}
    assert [(asked[1], asked[3]) for asked in gateway.asked] == [
        ("/admin/teams", {"name": "red", "budgets": [budget], "rpm": 60, "metadata": {"a": 1}}),
        ("/admin/users", {"name": "ada", "team": "red", "role": "team_admin"}),
    ]


def test_only_what_is_given_is_changed(gateway: Gateway) -> None:
    assert main(["keys", "change", "key_1", "--rpm", "none", "--model", "chat"]) == 0

    assert gateway.asked[0][:2] == ("PATCH", "/admin/keys/key_1")
    assert gateway.asked[0][3] == {"rpm": None, "models": ["chat"]}


def test_a_key_is_rotated_and_printed(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "rotate", "key_1", "--grace", "60"]) == 0

    assert capsys.readouterr().out == "sk-new\n"
    assert gateway.asked[0][3] == {"grace_seconds": 60.0}


def test_spending_stands_beside_its_budget(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "spend", "key_1"]) == 0

    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["period", "spent_usd", "usd", "left_usd", "resets_at"],
        ["day", "1", "5", "4", "2026-11-22"],
        ["total", "3"],
    ]


def test_the_audit_log_names_what_was_changed(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit"]) == 0

    assert capsys.readouterr().out.splitlines()[1].split() == ["now", "key_2", "change", "team", "red", "rpm"]


def test_a_soft_share_without_a_budget_is_refused(gateway: Gateway) -> None:
    assert main(["keys", "create", "alice", "--soft", "0.8"]) == 2


def test_the_gateways_own_words_are_shown(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "delete", "missing"]) == 1

    assert capsys.readouterr().err == "error: the gateway answered 404: there is no key 'missing'\n"


def test_no_gateway_is_said_with_what_to_do(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPANWELL_PROXY_PORT", str(free_port("127.0.0.1")))

    assert main(["keys", "list"]) == 1

    assert "start it with: spanwell up" in capsys.readouterr().err


def test_without_a_master_key_the_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPANWELL_DATA", str(tmp_path))
    file = tmp_path / "spanwell.yaml"
    file.write_text("model_list: []\n", encoding="utf-8")

    assert main(["keys", "list", "--config", str(file)]) == 2

    assert capsys.readouterr().err == f"error: {file}: set general_settings.master_key to administer the gateway\n"


def test_without_a_configuration_the_way_to_name_one_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPANWELL_DATA", str(tmp_path))

    assert main(["keys", "list"]) == 2

    assert "--config FILE" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["5", "five/day", "5/week", "/day", "-1/day"])
def test_a_budget_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="such as 5/day"):
        read_budget(text)


def test_a_table_of_nothing_shows_its_columns() -> None:
    assert table([], ("id", "name")) == ["id  name"]


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (
        "up",
        "proxy",
        "collector",
        "worker",
        "dashboard",
        "doctor",
        "keys",
        "teams",
        "members",
        "audit",
        "version",
    ):
        with pytest.raises(SystemExit) as stopped:
            build_parser().parse_args([command, "--help"])
        assert stopped.value.code == 0
    assert "Without a configuration this is the demo" in capsys.readouterr().out


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0

    assert capsys.readouterr().out.count(".") == 2


def test_a_wrong_variable_is_an_error_of_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPANWELL_PROXY_PORT", "http")

    assert main(["doctor"]) == 2

    assert capsys.readouterr().err.startswith("error: SPANWELL_PROXY_PORT='http'")


def test_a_process_becomes_the_module_it_names(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "spanwell.cli", "proxy", "--check", "--config", str(tmp_path / "none.yaml")],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ran.returncode == 2
    assert "none.yaml" in ran.stderr


@pytest.mark.parametrize(("version", "verdict"), [((3, 11, 0), "ok"), ((3, 10, 9), "fail")])
def test_old_pythons_fail(version: tuple[int, int, int], verdict: str) -> None:
    assert check_python(version).verdict == verdict


@pytest.mark.parametrize(
    ("name", "extra", "found", "verdict"),
    [
        ("litellm", "proxy", "1.106.2", "ok"),
        ("litellm", "proxy", "1.82.7", "fail"),
        ("litellm", "proxy", "1.82.8", "fail"),
        ("chdb", "collector", None, "warn"),
        ("opentelemetry-sdk", "", None, "fail"),
    ],
)
def test_packages_are_judged(name: str, extra: str, found: str | None, verdict: str) -> None:
    assert check_package(name, extra, found).verdict == verdict


def test_a_data_directory_need_not_exist_yet(tmp_path: Path) -> None:
    first, _ = check_data(tmp_path / "not" / "yet")

    assert first.verdict == "ok"
    assert not (tmp_path / "not").exists()


@pytest.mark.parametrize(("key", "verdict"), [("", "warn"), ("short", "warn"), (MASTER_KEY, "ok")])
def test_master_keys_are_judged(key: str, verdict: str) -> None:
    finding = check_keys(Config(general_settings={"master_key": key}))

    assert finding.verdict == verdict
    assert not key or key not in finding.what + finding.advice


def test_backends_are_grouped_by_address() -> None:
    models = [
        {"model_name": "a", "litellm_params": {"model": "openai/x", "api_base": "http://h:1/v1/"}},
        {"model_name": "b", "litellm_params": {"model": "openai/y", "api_base": "http://h:1/v1"}},
        {"model_name": "c", "litellm_params": {"model": "anthropic/z"}},
    ]

    assert group_backends(models) == {"http://h:1/v1": ["a", "b"]}


def test_a_file_that_is_wrong_ends_the_report(tmp_path: Path) -> None:
    path = tmp_path / "spanwell.yaml"
    path.write_text("alarms: {}", encoding="utf-8")

    *_, last = examine(Settings(config=path, data=tmp_path))

    assert (last.verdict, "unknown key 'alarms'" in last.what) == ("fail", True)


async def test_health_is_a_status_or_nothing(gateway: Gateway) -> None:
    assert await get_status(f"http://127.0.0.1:{gateway.port}/health") == 200
    assert await get_status(f"http://127.0.0.1:{gateway.port}/missing") == 404
    assert await get_status(f"http://127.0.0.1:{free_port('127.0.0.1')}/") is None
    assert await get_status(f"https://127.0.0.1:{gateway.port}/") is None
    assert not is_port_free("127.0.0.1", gateway.port)


def test_the_collectors_commands_are_listed() -> None:
    page = build_parser().format_help()

    assert all(noun in page for noun in NOUNS)


def test_a_collectors_command_without_the_collector_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.modules[main.__module__], "find_spec", {"spanwell_collector": True}.get)

    assert main(["tokens", "list"]) == 2

    assert capsys.readouterr().err == "error: spanwell tokens needs the collector: pip install 'spanwell[collector]'\n"
