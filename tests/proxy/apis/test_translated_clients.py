"""Stock clients against backends of the other dialect: the lane translates, and the client must not notice."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import anthropic
import openai
import pytest
import pytest_asyncio
from anthropic import AsyncAnthropic

from spanwell import conventions as c
from tests.proxy import anthropic_backend, shapes
from tests.proxy.anthropic_backend import AnthropicBackend, running_anthropic
from tests.proxy.backend import SECRET, Backend, running_backend
from tests.proxy.gateway import MASTER_KEY, PRICES, Proxy, config, deployment, running_proxy
from tests.proxy.sink import Sink, running_sink

pytestmark = pytest.mark.asyncio(loop_scope="module")

SAID = "".join(anthropic_backend.WORDS)
COUNTED = (c.INPUT_TOKENS, c.OUTPUT_TOKENS, c.CACHE_READ_TOKENS, c.COST_USD)
USED = [42, 20, 16, "0.0000676"]


@dataclass
class House:
    """A proxy before a backend of each dialect: `gpt` is OpenAI's, `claude` Anthropic's."""

    proxy: Proxy
    gpt: Backend
    claude: AnthropicBackend
    sink: Sink

    def anthropic(self) -> AsyncAnthropic:
        return AsyncAnthropic(base_url=self.proxy.url, api_key=MASTER_KEY, max_retries=0)


# One for all: a lane takes seconds to start.
@pytest_asyncio.fixture(name="running", scope="module", loop_scope="module")
async def running_house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with running_sink() as sink, running_backend() as gpt, running_anthropic() as claude:
        params = {"model": "anthropic/claude-fable", "api_base": claude.url, "api_key": SECRET, **PRICES}
        document = config(
            deployment(gpt.url, "gpt", model="openai/tiny"), {"model_name": "claude", "litellm_params": params}
        )
        async with running_proxy(tmp_path_factory.mktemp("house"), document, sink.port) as proxy:
            yield House(proxy, gpt, claude, sink)


@pytest.fixture
def house(running: House) -> House:
    running.sink.spans.clear()
    for backend in (running.gpt, running.claude):
        backend.requests.clear()
        backend.moods.clear()
    return running


async def test_openais_chat_is_answered_by_anthropic(house: House) -> None:
    async with house.proxy.client(timeout=60) as client:
        whole = await client.chat.completions.create(model="claude", messages=[{"role": "user", "content": "x"}])
        stream = await client.chat.completions.create(
            model="claude", messages=[{"role": "user", "content": "x"}], stream=True
        )
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])

    spans = await house.sink.wait(2)
    assert (whole.choices[0].message.content, text) == (SAID, SAID)
    assert [[span.attributes[key] for key in COUNTED] for span in spans] == [USED, USED]


async def test_openais_text_completion_is_answered_by_anthropic(house: House) -> None:
    async with house.proxy.client(timeout=60) as client:
        whole = await client.completions.create(model="claude", prompt="Do foxes sleep?", max_tokens=9)
        stream = await client.completions.create(model="claude", prompt="x", max_tokens=9, stream=True)
        text = "".join([chunk.choices[0].text async for chunk in stream if chunk.choices])

    spans = await house.sink.wait(2)
    assert (whole.choices[0].text, text) == (SAID, SAID)
    assert [[span.attributes[key] for key in COUNTED] for span in spans] == [USED, USED]


async def test_openais_response_is_answered_by_anthropic(house: House) -> None:
    async with house.proxy.client(timeout=60) as client:
        whole = await client.responses.create(model="claude", input="Do foxes sleep?", instructions="Be brief.")
        async with client.responses.stream(model="claude", input="Do foxes sleep?") as stream:
            kinds = [event.type async for event in stream]
            streamed = await stream.get_final_response()

    spans = await house.sink.wait(2)
    assert (whole.output_text, streamed.output_text) == (SAID, SAID)
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert [[span.attributes[key] for key in COUNTED] for span in spans] == [USED, USED]
    assert {span.attributes[c.FINISH_REASONS][0] for span in spans} == {"completed"}


async def test_anthropics_message_is_answered_by_openai(house: House) -> None:
    async with house.anthropic() as client:
        whole = await client.messages.create(
            model="gpt", max_tokens=64, system="Be brief.", messages=[{"role": "user", "content": "x"}]
        )
        async with client.messages.stream(
            model="gpt", max_tokens=64, messages=[{"role": "user", "content": "x"}]
        ) as stream:
            text = "".join([piece async for piece in stream.text_stream])
            final = await stream.get_final_message()

    spans = await house.sink.wait(2)
    assert whole.content[0].type == "text"
    assert (whole.content[0].text, text, final.stop_reason) == (shapes.TEXT, shapes.TEXT, "end_turn")
    assert (whole.usage.input_tokens, whole.usage.cache_read_input_tokens) == (26, 16)
    assert [[span.attributes[key] for key in COUNTED] for span in spans] == [USED, USED]
    assert set(house.gpt.paths) == {"/v1/chat/completions"}


async def test_anthropics_tools_are_called_by_openai(house: House) -> None:
    async with (
        house.anthropic() as client,
        client.messages.stream(
            model="gpt",
            max_tokens=64,
            messages=[{"role": "user", "content": "Rome?"}],
            tools=[{"name": "weather", "input_schema": {"type": "object", "properties": {}}}],
        ) as stream,
    ):
        message = await stream.get_final_message()

    (span,) = await house.sink.wait(1)
    assert message.stop_reason == "tool_use"
    assert [(block.name, block.input) for block in message.content if block.type == "tool_use"] == [
        ("weather", {"city": "Rome"})
    ]
    (said,) = json.loads(span.attributes[c.OUTPUT_MESSAGES])
    assert said["parts"][-1]["arguments"] == {"city": "Rome"}


async def test_tokens_are_counted_for_openai_too(house: House) -> None:
    async with house.anthropic() as client:
        counted = await client.messages.count_tokens(model="gpt", messages=[{"role": "user", "content": "x y z"}])

    assert 0 < counted.input_tokens < 100


async def test_errors_are_in_the_clients_dialect(house: House) -> None:
    house.gpt.moods.append("400")
    house.claude.moods.append("400")

    async with house.anthropic() as client, house.proxy.client() as other:
        with pytest.raises(anthropic.BadRequestError, match="temperature must be") as one:
            await client.messages.create(model="gpt", max_tokens=64, messages=[{"role": "user", "content": "x"}])
        with pytest.raises(openai.BadRequestError, match="temperature: range") as two:
            await other.responses.create(model="claude", input="x")

    assert SECRET not in str(one.value) + str(two.value)


async def test_a_translated_response_is_kept_by_nobody(house: House) -> None:
    async with house.proxy.client(timeout=60) as client:
        made = await client.responses.create(model="claude", input="x")
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(made.id)
