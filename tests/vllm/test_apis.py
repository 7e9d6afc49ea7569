"""The APIs beside chat that the true vLLM server speaks, by stock clients, and what is stored of them."""

import uuid
from collections.abc import Iterator

import anthropic
import pytest
from anthropic import Anthropic
from anthropic.types import MessageParam
from openai import OpenAI

from tests.end_to_end.house import MASTER_KEY, House
from tests.vllm.test_real_vllm import the_row, tokens

pytestmark = pytest.mark.vllm

LONG = "Tell me of foxes, and of the dogs that they jump over. " * 40  # vLLM caches blocks of 128 tokens
ASK: list[MessageParam] = [{"role": "user", "content": LONG}]


@pytest.fixture
def claude(house: House) -> Iterator[Anthropic]:
    with Anthropic(base_url=house.base_url.removesuffix("/v1"), api_key=MASTER_KEY, max_retries=0) as client:
        yield client


@pytest.fixture
def user() -> str:
    return uuid.uuid4().hex


def test_a_text_completion_is_stored_as_it_was_reported(client: OpenAI, house: House, user: str) -> None:
    answer = client.completions.create(model="tiny", prompt=["foxes", "dogs"], max_tokens=8, user=user)

    row = the_row(house, user)
    assert answer.usage
    assert tokens(row)[:2] == (answer.usage.prompt_tokens, answer.usage.completion_tokens)
    assert (row["operation"], len(answer.choices)) == ("text_completion", 2)


def test_a_response_streams_and_is_stored_as_it_was_reported(client: OpenAI, house: House, user: str) -> None:
    with client.responses.stream(model="tiny", input=LONG, max_output_tokens=8, user=user) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()

    row = the_row(house, user)
    assert (kinds[0], kinds.count("response.output_text.delta") > 0) == ("response.created", True)
    assert final.usage
    assert tokens(row)[:2] == (final.usage.input_tokens, final.usage.output_tokens)
    assert 0 < row["ttft_ms"] <= row["duration_ms"]


def test_a_message_streams_and_counts_the_cache_as_input(claude: Anthropic, house: House, user: str) -> None:
    claude.messages.create(model="tiny", max_tokens=8, messages=ASK)

    with claude.messages.stream(model="tiny", max_tokens=8, messages=ASK, metadata={"user_id": user}) as stream:
        usage = stream.get_final_message().usage

    row = the_row(house, user)
    assert usage.cache_read_input_tokens
    assert tokens(row) == (
        usage.input_tokens + usage.cache_read_input_tokens,
        usage.output_tokens,
        usage.cache_read_input_tokens,
    )


def test_tokens_are_counted_as_they_will_be_billed(claude: Anthropic, house: House, user: str) -> None:
    counted = claude.messages.count_tokens(model="tiny", messages=ASK)
    claude.messages.create(model="tiny", max_tokens=8, messages=ASK, metadata={"user_id": user})

    assert tokens(the_row(house, user))[0] == counted.input_tokens


def test_vllms_refusal_is_anthropics_error(claude: Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="max_model_len"):
        claude.messages.create(model="tiny", max_tokens=9_000, messages=ASK)
