import json
import time

import pytest

from spanwell.config import Config
from spanwell.pricing import PriceTable
from spanwell_proxy.config.reading import read_routes
from spanwell_proxy.config.routes import Deployment
from spanwell_proxy.failures import ApiError
from spanwell_proxy.upstream.connection import Connection
from spanwell_proxy.upstream.refusals import classify, judge_help, read_failure

KEY = "the key of the backend"


class Refusal(Connection):
    """An answer of which only the status is looked at."""

    def __init__(self, status: int) -> None:
        self.status = status

    def header(self, name: str) -> str:
        return "" if name == "Retry-After" else "application/json"


def fox() -> Deployment:
    params = {"model": "hosted_vllm/tiny", "api_base": "http://gpu/v1", "api_key": "sk-backend"}
    models = [{"model_name": "fox", "litellm_params": params}]
    return read_routes(Config(model_list=models), PriceTable()).deployments["fox"][0]


def refuse(status: int, message: str = "no", code: object = None, dialect: str = "openai") -> ApiError:
    body = json.dumps({"error": {"message": message, "type": "x", "code": code}}).encode()
    return read_failure(fox(), dialect, Refusal(status), body)


@pytest.mark.parametrize(
    ("status", "kind", "help_"),
    [
        (400, "bad_request", "never"),
        (401, "authentication", "elsewhere"),
        (403, "authentication", "elsewhere"),
        (302, "redirect", "elsewhere"),
        (404, "not_found", "elsewhere"),
        (408, "timeout", "again"),
        (429, "rate_limit", "again"),
        (500, "internal", "again"),
        (502, "internal", "again"),
        (503, "unavailable", "again"),
        (504, "timeout", "again"),
        (529, "unavailable", "again"),
    ],
)
def test_a_status_says_what_it_is_and_what_helps(status: int, kind: str, help_: str) -> None:
    failure = refuse(status)

    assert (classify(failure), judge_help(failure)) == (kind, help_)


@pytest.mark.parametrize(
    ("message", "code", "kind"),
    [
        ("too many tokens", "context_length_exceeded", "context_window"),
        ("This model's maximum context length is 8192 tokens.", 400, "context_window"),
        ("prompt is too long: 210000 tokens > 200000 maximum", None, "context_window"),
        ("no", "content_policy_violation", "content_policy"),
        ("The response was filtered due to Azure OpenAI's content management policy.", None, "content_policy"),
        ("temperature must be non-negative", 400, "bad_request"),
    ],
)
def test_what_another_model_may_answer_is_told_apart(message: str, code: object, kind: str) -> None:
    assert classify(refuse(400, message, code)) == kind


def test_only_anthropics_clients_know_that_a_backend_is_overloaded() -> None:
    assert [refuse(529, dialect=dialect).status for dialect in ("openai", "anthropic")] == [503, 529]


def test_a_page_is_not_told_to_a_program() -> None:
    failure = read_failure(fox(), "openai", Refusal(502), b"<html>nginx</html>")

    assert failure.message == "the backend of 'fox' answered 502: a page that is not for programs"


def test_the_gateways_own_key_never_comes_back() -> None:
    assert "sk-backend" not in json.dumps(refuse(400, "wrong key sk-backend").body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"detail":' + b"[" * 300 + b"]" * 300 + b"}",
        b'{"error":{"message":"no","param":' + b"[" * 300 + b"]" * 300 + b"}}",
        json.dumps({"error": {"message": "no", "param": "-----BEGIN PRIVATE KEY-----\nMIIE"}}).encode(),
    ],
)
def test_no_words_of_a_backend_are_a_mistake_of_ours(body: bytes) -> None:
    failure = read_failure(fox(), "openai", Refusal(400), body)

    assert failure.status == 400
    assert b"MIIE" not in failure.to_json()


def test_a_flood_of_words_holds_nobody_up() -> None:
    began = time.process_time()

    failure = refuse(400, "wrong key sk-abcdefghijklmnopqrstuv " * 200_000)

    assert time.process_time() - began < 0.5
    assert len(failure.to_json()) < 10_000
