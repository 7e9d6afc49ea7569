"""Where each provider is called, with what, and which APIs it gets as they are."""

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from spanwell.errors import ConfigError
from spanwell_proxy.config.providers import find_provider, fixed_headers, locate
from tests.proxy.backend import SECRET, completion, served
from tests.proxy.gateway import ASK, config, running_proxy
from tests.proxy.sink import Sink

AZURE = "https://me.openai.azure.com"


@pytest.mark.parametrize(
    ("prefix", "base", "params", "path", "query"),
    [
        ("hosted_vllm", "http://gpu:8000/v1/", {}, "http://gpu:8000/v1", ""),
        ("anthropic", "https://api.anthropic.com", {}, "https://api.anthropic.com/v1", ""),
        ("anthropic", "https://relay/anthropic/v1/messages", {}, "https://relay/anthropic/v1", ""),
        ("azure", AZURE, {"api_version": "v1"}, AZURE + "/openai/v1", ""),
        ("azure", AZURE + "/openai/v1/", {"api_version": "preview"}, AZURE + "/openai/v1", "?api-version=preview"),
        (
            "azure",
            AZURE + "/",
            {"api_version": "2024-10-21"},
            AZURE + "/openai/deployments/gpt%2F5",
            "?api-version=2024-10-21",
        ),
        ("azure", AZURE, {}, AZURE + "/openai/deployments/gpt%2F5", "?api-version=2025-02-01-preview"),
        (
            "azure",
            AZURE + "/openai/deployments/x",
            {},
            AZURE + "/openai/deployments/x",
            "?api-version=2025-02-01-preview",
        ),
    ],
)
def test_an_address_is_put_together_as_the_provider_wants_it(
    prefix: str, base: str, params: dict[str, Any], path: str, query: str
) -> None:
    assert locate(prefix, base, "gpt/5", params) == (path, query)


@pytest.mark.parametrize(
    ("prefix", "params", "header", "value"),
    [
        ("openai", {}, "authorization", "Bearer k"),
        ("anthropic", {}, "x-api-key", "k"),
        ("azure", {"api_base": AZURE}, "api-key", "k"),
        ("openai", {"organization": "org-1"}, "openai-organization", "org-1"),
        ("openai", {"extra_headers": {"X-Team": 7}}, "x-team", "7"),
    ],
)
def test_each_provider_gets_its_key_in_its_own_header(
    prefix: str, params: dict[str, Any], header: str, value: str
) -> None:
    headers = fixed_headers(find_provider(prefix, params), "k", params, "x")

    assert headers[header] == value
    assert sum(given.endswith("k") for given in headers.values()) == 1


@pytest.mark.parametrize("headers", [{"Host": "x"}, {"a b": "x"}, {"x": "a\r\nb"}, {"x": None}, ["x"]])
def test_a_header_that_would_break_the_request_is_refused(headers: Any) -> None:
    with pytest.raises(ConfigError, match="extra_headers"):
        fixed_headers(find_provider("openai", {}), "", {"extra_headers": headers}, "model_list[0]")


@pytest.mark.parametrize(
    ("prefix", "params", "api", "is_spoken"),
    [
        ("hosted_vllm", {}, "messages", True),
        ("openai", {}, "responses", True),
        ("openai", {}, "messages", False),
        ("anthropic", {}, "messages", True),
        ("anthropic", {}, "chat", False),
        ("azure", {"api_base": AZURE}, "chat", True),
        ("azure", {"api_base": AZURE}, "responses", False),
        ("azure", {"api_base": AZURE, "api_version": "v1"}, "responses", True),
    ],
)
def test_what_a_provider_speaks_is_not_translated(
    prefix: str, params: dict[str, Any], api: str, is_spoken: bool
) -> None:
    provider = find_provider(prefix, params)

    assert provider
    assert (api in provider.speaks) is is_spoken


@pytest.mark.parametrize(
    "params", [{}, {"api_base": AZURE, "azure_ad_token": "x"}, {"api_base": AZURE, "tenant_id": "x"}]
)
def test_an_azure_that_needs_a_token_is_litellms(params: dict[str, Any]) -> None:
    assert find_provider("azure", params) is None
    assert find_provider("bedrock", params) is None


async def test_azure_is_asked_in_its_own_way(sink: Sink, tmp_path: Path) -> None:
    seen: list[tuple[str, str | None, str | None]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.path_qs, request.headers.get("api-key"), request.headers.get("authorization")))
        return web.json_response(completion(await request.json()))

    app = web.Application()
    app.router.add_post("/openai/deployments/my-gpt/chat/completions", answer)
    async with served(app) as port:
        params = {
            "model": "azure/my-gpt",
            "api_base": f"http://127.0.0.1:{port}",
            "api_key": SECRET,
            "api_version": "2024-10-21",
        }
        document = config({"model_name": "fox", "litellm_params": params})
        async with running_proxy(tmp_path, document, sink.port) as proxy:
            reply = await proxy.post(ASK)

    assert reply.status_code == 200
    assert seen == [("/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21", SECRET, None)]
