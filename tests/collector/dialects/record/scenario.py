"""The calls that every Python emitter makes, on a client it brings. What surrounds them is each emitter's own."""

import json
from typing import Any

USER, SESSION = "user-7", "session-42"
SYSTEM = "Answer in three words."
QUESTION = "What is the capital of France? ✓"
DOCUMENTS = ["Paris is the capital of France.", "Lyon is a city of France."]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = "Sunny, 21 degrees"


def get_weather(city: str) -> str:
    return f"{WEATHER} in {city}"


class OpenAICalls:
    """The scenario on an `openai.OpenAI` client."""

    model = "gpt-4o-mini"

    def __init__(self, client: Any) -> None:
        self.client = client

    def unary(self) -> str:
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
        answer = self.client.chat.completions.create(
            model=self.model, messages=messages, temperature=0.2, max_tokens=64
        )
        return str(answer.choices[0].message.content)

    def streamed(self) -> str:
        chunks = self.client.chat.completions.create(
            model=self.model,
            messages=[{"role": "user", "content": "Count to three, then see."}],
            stream=True,
            stream_options={"include_usage": True},
        )
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)

    def ask_for_tool(self) -> dict[str, Any]:
        """The arguments the model wants the tool called with."""
        function = {"name": "get_weather", "description": "The weather of a city.", "parameters": CITY}
        answer = self.client.chat.completions.create(
            model=self.model,
            messages=[{"role": "user", "content": "What is the weather in Paris?"}],
            tools=[{"type": "function", "function": function}],
        )
        return dict(json.loads(answer.choices[0].message.tool_calls[0].function.arguments))

    def embed(self) -> int:
        answer = self.client.embeddings.create(model="text-embedding-3-small", input=["first text", "second text"])
        return len(answer.data)

    def fail(self, error: type[Exception]) -> None:
        try:
            self.client.chat.completions.create(
                model=self.model, messages=[{"role": "user", "content": "Now please fail."}]
            )
        except error:
            return


class AnthropicCalls:
    """The scenario on an `anthropic.Anthropic` client."""

    model = "claude-sonnet-4-5"

    def __init__(self, client: Any) -> None:
        self.client = client

    def unary(self) -> str:
        system = [{"type": "text", "text": SYSTEM, "cache_control": {"type": "ephemeral"}}]
        messages = [{"role": "user", "content": [{"type": "text", "text": QUESTION}]}]
        answer = self.client.messages.create(model=self.model, max_tokens=64, system=system, messages=messages)
        return str(answer.content[0].text)

    def streamed(self) -> str:
        messages = [{"role": "user", "content": "Count to three, then see."}]
        events = self.client.messages.create(model=self.model, max_tokens=64, messages=messages, stream=True)
        return "".join(event.delta.text for event in events if event.type == "content_block_delta")

    def streamed_by_helper(self) -> str:
        messages = [{"role": "user", "content": "Count to three, then see."}]
        with self.client.messages.stream(model=self.model, max_tokens=64, messages=messages) as stream:
            return "".join(stream.text_stream)

    def ask_for_tool(self) -> dict[str, Any]:
        """The arguments the model wants the tool called with."""
        tool = {"name": "get_weather", "description": "The weather of a city.", "input_schema": CITY}
        messages = [{"role": "user", "content": "What is the weather in Paris?"}]
        answer = self.client.messages.create(model=self.model, max_tokens=64, messages=messages, tools=[tool])
        return dict(answer.content[0].input)

    def fail(self, error: type[Exception]) -> None:
        messages = [{"role": "user", "content": "Now please fail."}]
        try:
            self.client.messages.create(model=self.model, max_tokens=64, messages=messages)
        except error:
            return
