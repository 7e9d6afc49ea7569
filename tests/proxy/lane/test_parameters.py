from typing import Any

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsBase
from openai.types.responses.response_create_params import ResponseCreateParamsBase

from spanwell_proxy.body import FORBIDDEN
from spanwell_proxy.failures import ApiError
from spanwell_proxy.lane import parameters
from spanwell_proxy.lane.parameters import check_messages, check_response, check_shape, pick, read_numbers

LISTS = {name: value for name, value in vars(parameters).items() if name.isupper() and isinstance(value, frozenset)}


@pytest.mark.parametrize("name", ["CHAT", "COMPLETIONS", "EMBEDDINGS", "MESSAGES", "RESPONSES", "RERANK", "IMAGES"])
def test_nothing_that_configures_can_be_asked_for(name: str) -> None:
    assert set() == LISTS[name] & (FORBIDDEN | {"model", "metadata", "api_base", "mock_response", "extra_headers"})


def test_all_of_openais_chat_parameters_go_on_but_those_that_are_named_here() -> None:
    left_out = {"metadata", "model", "moderation", "prompt_cache_options", "store"}

    assert CompletionCreateParamsBase.__annotations__.keys() - parameters.CHAT <= left_out


def test_all_of_openais_response_parameters_go_on_but_those_that_are_named_here() -> None:
    kept = {"background", "conversation", "previous_response_id", "prompt", "store", "truncation"}
    ours = {"context_management", "metadata", "model", "moderation", "prompt_cache_key", "prompt_cache_retention"}
    unknown_to_chat = {"max_tool_calls", "top_logprobs", "stream_options", "prompt_cache_options"}

    known = kept | ours | unknown_to_chat
    assert ResponseCreateParamsBase.__annotations__.keys() - parameters.RESPONSES <= known


def test_what_is_not_listed_is_left_out() -> None:
    request = {"messages": [], "api_base": "http://127.0.0.1:1", "mock_response": "x", "callbacks": [], "seed": 7}

    assert pick(request, parameters.CHAT) == {"messages": [], "seed": 7}


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("tools", "x", "a list of objects"),
        ("tools", ["x"], "a list of objects"),
        ("stop", [5], "a text or a list of texts"),
        ("tool_choice", 5, "a text or an object"),
        ("thinking", "x", "an object"),
        ("max_tokens", 0.5, "a whole number"),
        ("temperature", True, "a number"),
        ("user", {}, "a text"),
    ],
)
def test_what_is_of_a_wrong_kind_is_the_clients_mistake(key: str, value: Any, kind: str) -> None:
    with pytest.raises(ApiError, match=f"^{key} must be {kind}$") as refused:
        pick({key: value}, parameters.CHAT)

    assert (refused.value.status, refused.value.param) == (400, key)


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "advisor_20260301", "name": "advisor", "model": "openai/gpt-5"},
        {"type": "mcp", "server_url": "litellm_proxy/mcp/github"},
        {"type": "function", "name": "x", "api_base": "http://127.0.0.1:1"},
        {"type": "custom", "name": ["x"]},
    ],
)
def test_a_tool_that_would_steer_or_has_no_proper_name_is_refused(tool: dict[str, Any]) -> None:
    with pytest.raises(ApiError, match=r"tools\[1\]") as refused:
        pick({"tools": [{"type": "function"}, tool]}, parameters.CHAT)

    assert refused.value.status == 400


def test_a_tool_that_runs_at_the_provider_passes() -> None:
    tools = [{"type": "mcp", "server_url": "https://mcp.example.com"}, {"googleSearch": {}}]

    assert pick({"tools": tools}, parameters.CHAT) == {"tools": tools}


@pytest.mark.parametrize("key", ["previous_response_id", "background", "conversation", "prompt"])
def test_what_nobody_keeps_is_refused_with_what_to_do_instead(key: str) -> None:
    with pytest.raises(ApiError, match=key) as refused:
        check_response({key: "resp_1"})

    assert refused.value.param == key


def test_openais_own_tools_are_refused_elsewhere() -> None:
    with pytest.raises(ApiError, match="file_search"):
        check_response({"tools": [{"type": "web_search_preview"}, {"type": "file_search"}]})


def test_an_answer_that_would_lack_what_was_asked_is_refused() -> None:
    check_shape({"n": 1, "seed": 7, "frequency_penalty": 1}, frozenset(), "anthropic")

    with pytest.raises(ApiError, match="anthropic does not offer n"):
        check_shape({"n": 2}, frozenset(("tools",)), "anthropic")


@pytest.mark.parametrize("messages", [None, ["x"], [{"role": "user", "content": 5}], [{"content": "x"}]])
def test_messages_that_cannot_be_read_are_the_clients_mistake(messages: Any) -> None:
    with pytest.raises(ApiError, match="messages") as refused:
        check_messages(messages)

    assert refused.value.status == 400


def test_numbers_of_a_form_are_numbers() -> None:
    assert read_numbers({"n": "2", "temperature": "0.5", "prompt": "7"}) == {"n": 2, "temperature": 0.5, "prompt": "7"}

    with pytest.raises(ApiError, match="n must be a number"):
        read_numbers({"n": "two"})
