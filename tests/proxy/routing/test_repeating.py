from typing import Any

import pytest

from spanwell_proxy.routing.repeating import acts


@pytest.mark.parametrize(
    "request_",
    [
        {"tools": [{"type": "mcp", "server_url": "https://mail.example"}]},
        {"tools": [{"type": "function", "function": {}}, {"type": "code_interpreter"}]},
        {"mcp_servers": [{"url": "https://mail.example"}]},
        {"background": True},
        {"conversation": "conv_1"},
    ],
)
def test_what_a_backend_does_by_itself_is_not_asked_twice(request_: dict[str, Any]) -> None:
    assert acts(request_)


@pytest.mark.parametrize(
    "request_",
    [{}, {"tools": None}, {"tools": "x"}, {"tools": ["x"]}, {"tools": [{"name": "weather"}, {"type": "function"}]}],
)
def test_tools_that_a_client_runs_are_only_words(request_: dict[str, Any]) -> None:
    assert not acts(request_)
