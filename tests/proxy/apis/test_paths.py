from pathlib import Path

import pytest

from spanwell_proxy.apis.api import Api
from spanwell_proxy.apis.paths import APIS, find_api, match_path, strip_prefix

REFERENCE = (Path(__file__).parents[3] / "docs" / "reference" / "api.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/chat/completions", "chat"),
        ("/chat/completions", "chat"),
        ("/openai/v1/chat/completions", "chat"),
        ("/v1/completions/", "completions"),
        ("/v1/embeddings", "embeddings"),
        ("/openai/responses", "responses"),
        ("/v1/messages", "messages"),
        ("/messages", "messages"),
        ("/v1/messages/count_tokens", "count_tokens"),
    ],
)
def test_a_path_names_its_api_with_and_without_a_prefix(path: str, name: str) -> None:
    api = find_api(path)

    assert api
    assert api.name == name


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v2/chat/completions", "/v1/chat", "/openai/deployments/chat/"])
def test_other_paths_name_none(path: str) -> None:
    assert match_path(path) is None


@pytest.mark.parametrize(
    ("path", "name", "model"),
    [
        ("/openai/deployments/gpt-5/chat/completions", "chat", "gpt-5"),
        ("/openai/deployments/gpt-5/completions/", "completions", "gpt-5"),
        ("/openai/deployments/org/gpt-5/embeddings", "embeddings", "org/gpt-5"),
        ("/openai/deployments/chat/completions", "completions", "chat"),
    ],
)
def test_azures_paths_name_the_model_too(path: str, name: str, model: str) -> None:
    match = match_path(path)

    assert match
    assert (match.api.name, match.model) == (name, model)


@pytest.mark.parametrize(
    ("path", "rest"),
    [
        ("/v1/models/gpt-5/", "/models/gpt-5"),
        ("/openai/v1/models", "/models"),
        ("/openai/models", "/models"),
        ("/models", "/models"),
        ("/v1models", "/v1models"),
    ],
)
def test_a_prefix_is_taken_off_once(path: str, rest: str) -> None:
    assert strip_prefix(path) == rest


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
def test_every_api_is_documented(api: Api) -> None:
    assert f"`POST /v1{api.path}`" in REFERENCE
