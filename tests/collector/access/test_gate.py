"""Who asks: by which header, with which token, and from where while there is none."""

import base64
from datetime import UTC, datetime, timedelta

import pytest

from spanwell_collector.access.gate import FOREIGN, ROOT, THIS_MACHINE, UNKNOWN, Gate, identify
from spanwell_collector.access.rights import Identity, Refusal
from spanwell_collector.access.tokens import Token, digest_secret, make_secret

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECRET = make_secret("0123456789ab")
TOKEN = Token("0123456789ab", "chat app", digest_secret(SECRET), "ingest", "shop", NOW)
TOKENS = {TOKEN.id: TOKEN}
CHAT_APP = Identity("0123456789ab", "chat app", "ingest", "shop")


def _basic(password: str, user: str = "default") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"host": "127.0.0.1:4318"}, THIS_MACHINE),
        ({"host": "localhost"}, THIS_MACHINE),
        ({"host": "[::1]:4318", "origin": "http://localhost:8501"}, THIS_MACHINE),
        ({"host": "spanwell.localhost"}, THIS_MACHINE),
        ({"host": "rebound.example"}, FOREIGN),
        ({"host": "localhost.example"}, FOREIGN),
        ({"host": "127.0.0.1", "origin": "https://page.example"}, FOREIGN),
        ({"host": "127.0.0.1", "origin": "null"}, FOREIGN),
        ({"host": "[::1"}, FOREIGN),
        ({}, FOREIGN),
    ],
)
def test_without_any_token_only_this_machine_is_answered(headers: dict[str, str], expected: Identity | Refusal) -> None:
    assert identify(headers, {}, "", NOW) == expected


@pytest.mark.parametrize(
    ("headers", "password", "expected"),
    [
        ({"authorization": "Bearer token-1"}, "", ROOT),
        ({"authorization": _basic("token-1")}, "", ROOT),
        ({"x-clickhouse-key": "token-1"}, "", ROOT),
        ({"x-api-key": "token-1"}, "", ROOT),
        ({}, "token-1", ROOT),
        ({"host": "127.0.0.1"}, "", UNKNOWN),
        ({"authorization": "Bearer token-2"}, "", UNKNOWN),
        ({"authorization": "Bearer "}, "", UNKNOWN),
        ({"authorization": "Basic !"}, "", UNKNOWN),
        ({"authorization": "Bearer t\u00f6ken"}, "", UNKNOWN),
        ({"authorization": f"Bearer {SECRET}"}, "", CHAT_APP),
        ({"authorization": f"bearer {SECRET}"}, "", CHAT_APP),
        ({"authorization": _basic(SECRET, "pk-lf-anything")}, "", CHAT_APP),
        ({"x-api-key": SECRET}, "", CHAT_APP),
        ({"x-api-key": SECRET[:-1] + "!"}, "", UNKNOWN),
        ({"x-api-key": make_secret(TOKEN.id)}, "", UNKNOWN),
        ({"x-api-key": make_secret("ba9876543210")}, "", UNKNOWN),
        ({"x-api-key": TOKEN.digest}, "", UNKNOWN),
    ],
)
def test_a_token_is_found_in_any_header(headers: dict[str, str], password: str, expected: Identity | Refusal) -> None:
    assert identify(headers, TOKENS, "token-1", NOW, password) == expected


@pytest.mark.parametrize(
    "token",
    [
        TOKEN._replace(blocked=True),
        TOKEN._replace(deleted=True),
        TOKEN._replace(expires=NOW),
        TOKEN._replace(expires=NOW - timedelta(days=1)),
    ],
)
def test_a_token_that_is_closed_is_refused_like_an_unknown_one(token: Token) -> None:
    assert identify({"x-api-key": SECRET}, {token.id: token}, "token-1", NOW) == UNKNOWN


def test_one_token_shuts_the_door_to_the_nameless_of_this_machine() -> None:
    assert identify({"host": "localhost"}, {TOKEN.id: TOKEN._replace(deleted=True)}, "", NOW) == UNKNOWN


def test_a_role_that_may_not_is_told_which_may() -> None:
    gate = Gate("token-1", now=lambda: NOW)
    gate.know(TOKENS)

    assert gate.admit({"x-api-key": SECRET}, "ingest") == CHAT_APP
    assert gate.admit({"x-api-key": SECRET}, "read") == Refusal(
        403, "this needs a token with the role admin or editor or viewer; yours is ingest", "role"
    )
