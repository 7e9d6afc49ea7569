"""The newest Python clients; they run where `.venv-clients` has them (see requirements.txt beside this)."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.proxy.gateway import MASTER_KEY, Proxy
from tests.proxy.shapes import COUNTED_TOKENS, TEXT

HERE = Path(__file__).parent
PYTHON = HERE.parents[2] / ".venv-clients" / "bin" / "python"
VECTOR = [0.25, -0.5, 1.0]


@pytest.mark.skipif(not PYTHON.exists(), reason="needs .venv-clients, made of tests/proxy/newest/requirements.txt")
async def test_the_newest_clients_notice_nothing(proxy: Proxy) -> None:
    process = await asyncio.create_subprocess_exec(
        str(PYTHON), "ask.py", proxy.url, MASTER_KEY, cwd=HERE, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        printed, _ = await process.communicate()

    assert json.loads(printed) == {
        **dict.fromkeys(("chat", "chat_stream", "completion", "response", "response_stream", "response_final"), TEXT),
        **dict.fromkeys(("message", "message_stream", "langchain", "langchain_stream"), TEXT),
        **dict.fromkeys(("langchain_responses", "langchain_responses_stream"), TEXT),
        **dict.fromkeys(("embedding", "langchain_embedding"), VECTOR),
        **dict.fromkeys(("refusal", "message_refusal"), "NotFoundError"),
        "response_kept": "weather",
        "cost": True,
        "models": ["fox"],
        "counted": COUNTED_TOKENS,
        "langchain_usage": 62,
        "langchain_tool": {"city": "Rome"},
    }
