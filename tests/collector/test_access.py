"""Who may come in."""

import base64

import pytest
from starlette.datastructures import Headers

from spanwell_collector.access import is_allowed


def _basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"default:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"host": "127.0.0.1:4318"}, True),
        ({"host": "localhost"}, True),
        ({"host": "[::1]:4318", "origin": "http://localhost:8501"}, True),
        ({"host": "spanwell.localhost"}, True),
        ({"host": "rebound.example"}, False),
        ({"host": "localhost.example"}, False),
        ({"host": "127.0.0.1", "origin": "https://page.example"}, False),
        ({"host": "127.0.0.1", "origin": "null"}, False),
        ({"host": "[::1"}, False),
        ({}, False),
    ],
)
def test_without_a_token_only_this_machine_is_answered(headers: dict[str, str], allowed: bool) -> None:
    assert is_allowed(Headers(headers), "", token="") is allowed


@pytest.mark.parametrize(
    ("headers", "password", "allowed"),
    [
        ({"authorization": "Bearer token-1"}, "", True),
        ({"authorization": _basic("token-1")}, "", True),
        ({"x-clickhouse-key": "token-1"}, "", True),
        ({}, "token-1", True),
        ({"host": "127.0.0.1"}, "", False),
        ({"authorization": "Bearer token-2"}, "", False),
        ({"authorization": "Bearer "}, "", False),
        ({"authorization": "Basic !"}, "", False),
        ({"authorization": "Bearer töken"}, "", False),
    ],
)
def test_with_a_token_only_who_has_it_is_answered(headers: dict[str, str], password: str, allowed: bool) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]

    assert is_allowed(Headers(raw=raw), password, token="token-1") is allowed
