"""The stock JavaScript clients of OpenAI and Anthropic; they run where npm has installed them."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.proxy.gateway import MASTER_KEY, Proxy
from tests.proxy.shapes import COUNTED_TOKENS, TEXT

HERE = Path(__file__).parent


@pytest.mark.npm
async def test_the_javascript_clients_notice_nothing(proxy: Proxy) -> None:
    process = await asyncio.create_subprocess_exec(
        "node", "ask.mjs", proxy.url, MASTER_KEY, cwd=HERE, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        printed, _ = await process.communicate()

    assert json.loads(printed) == {
        **dict.fromkeys(("chat", "chatStream", "completion", "completionStream"), TEXT),
        **dict.fromkeys(("response", "responseStream", "responseFinal", "message", "messageStream"), TEXT),
        "embeddings": [[0.25, -0.5, 1.0]] * 2,
        "responseKept": True,
        "counted": COUNTED_TOKENS,
        "models": ["fox"],
        "openaiRefusal": "NotFoundError 404",
        "anthropicRefusal": "NotFoundError 404",
    }
