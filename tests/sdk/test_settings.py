"""Settings come from `SPANWELL_*`, and a wrong one is named."""

from dataclasses import replace
from pathlib import Path

import pytest

from spanwell.errors import ConfigError
from spanwell.loopback import is_loopback
from spanwell.settings import Settings


def test_without_variables_everything_is_local() -> None:
    settings = Settings.load({"HOME": "/root"})

    assert settings == Settings()
    assert (settings.proxy_url, settings.collector_url) == ("http://127.0.0.1:4000", "http://127.0.0.1:4318")
    assert (settings.sql_url, settings.dashboard_url) == ("http://127.0.0.1:8123", "http://127.0.0.1:8501")


def test_variables_are_read_by_their_type() -> None:
    settings = Settings.load(
        {
            "SPANWELL_DATA": "/d",
            "SPANWELL_CONFIG": "c.yaml",
            "SPANWELL_PROXY_PORT": "5000",
            "SPANWELL_CAPTURE_CONTENT": "False",
        }
    )

    assert settings == Settings(data=Path("/d"), config=Path("c.yaml"), proxy_port=5000, capture_content=False)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(data=Path("/d"), config=Path("c.yaml"), capture_content=False),
        Settings(host="::1", clickhouse_dsn="clickhouse://h", api_token="t", proxy_workers=3),
    ],
)
def test_the_environment_of_a_child_says_the_same(settings: Settings) -> None:
    assert Settings.load(settings.environ()) == settings


def test_an_empty_variable_is_an_unset_one() -> None:
    assert Settings.load({"SPANWELL_CONFIG": "", "SPANWELL_API_TOKEN": "", "SPANWELL_PROXY_PORT": ""}) == Settings()


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("SPANWELL_PROXY_PROT", "4000", "unknown variable SPANWELL_PROXY_PROT; known are"),
        ("SPANWELL_PROXY_PORT", "http", "write a whole number"),
        ("SPANWELL_PROXY_PORT", "70000", "write a port between 1 and 65535"),
        ("SPANWELL_PROXY_PORT", "0", "write a port between 1 and 65535"),
        ("SPANWELL_PROXY_WORKERS", "-1", "write a whole number"),
        ("SPANWELL_CAPTURE_CONTENT", "maybe", "write true or false"),
        ("SPANWELL_HOST", "0.0.0.0", "set SPANWELL_API_TOKEN first"),
    ],
)
def test_a_wrong_variable_is_named(variable: str, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        Settings.load({variable: text})

    assert variable in str(raised.value)


def test_with_a_token_it_may_listen_to_others() -> None:
    assert Settings.load({"SPANWELL_HOST": "0.0.0.0", "SPANWELL_API_TOKEN": "t"}).host == "0.0.0.0"


def test_secrets_are_not_shown() -> None:
    assert "s3cret" not in repr(replace(Settings(), api_token="s3cret", clickhouse_dsn="clickhouse://u:s3cret@h"))


def test_an_address_of_version_six_is_bracketed() -> None:
    assert Settings(host="::1").proxy_url == "http://[::1]:4000"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("example.org", False),
    ],
)
def test_loopback_is_known(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
