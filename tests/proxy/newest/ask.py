"""Asks a gateway through the newest stock clients, and prints what came: ask.py URL KEY"""

import importlib
import json
import sys
from typing import Any

# Of the environment this runs in, not of the one it is checked in.
openai, anthropic, langchain = (importlib.import_module(name) for name in ("openai", "anthropic", "langchain_openai"))

ASK = [{"role": "user", "content": "Do foxes sleep?"}]
TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}, "strict": False}


def ask_openai(url: str, key: str) -> dict[str, Any]:
    client = openai.OpenAI(base_url=url + "/v1", api_key=key, max_retries=0)
    chunks = client.chat.completions.create(model="fox", messages=ASK, stream=True)
    with client.responses.stream(model="fox", input="x") as stream:
        streamed = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    raw = client.responses.with_raw_response.create(model="fox", input="x", tools=[TOOL])
    return {
        "chat": client.chat.completions.create(model="fox", messages=ASK).choices[0].message.content,
        "chat_stream": "".join(chunk.choices[0].delta.content or "" for chunk in chunks),
        "completion": client.completions.create(model="fox", prompt="x").choices[0].text,
        "embedding": client.embeddings.create(model="fox", input="x").data[0].embedding,
        "response": client.responses.create(model="fox", input="x").output_text,
        "response_stream": streamed,
        "response_final": final.output_text,
        "response_kept": client.responses.retrieve(raw.parse().id).output[0].name,
        "cost": "x-spanwell-cost-usd" in raw.headers,
        "models": [model.id for model in client.models.list()],
        "refusal": refuse(lambda: client.responses.create(model="owl", input="x")),
    }


def ask_anthropic(url: str, key: str) -> dict[str, Any]:
    client = anthropic.Anthropic(base_url=url, api_key=key, max_retries=0)
    with client.messages.stream(model="fox", max_tokens=64, messages=ASK) as stream:
        streamed = "".join(stream.text_stream)
    return {
        "message": client.messages.create(model="fox", max_tokens=64, messages=ASK).content[0].text,
        "message_stream": streamed,
        "counted": client.messages.count_tokens(model="fox", messages=ASK).input_tokens,
        "message_refusal": refuse(lambda: client.messages.create(model="owl", max_tokens=64, messages=ASK)),
    }


def ask_langchain(url: str, key: str) -> dict[str, Any]:
    given = {"model": "fox", "base_url": url + "/v1", "api_key": key, "max_retries": 0}
    chat, responses = langchain.ChatOpenAI(**given), langchain.ChatOpenAI(**given, use_responses_api=True)
    embeddings = langchain.OpenAIEmbeddings(**given, check_embedding_ctx_length=False)
    whole = chat.invoke("Do foxes sleep?")
    return {
        "langchain": whole.text,
        "langchain_usage": whole.usage_metadata["total_tokens"],
        "langchain_stream": "".join(chunk.text for chunk in chat.stream("x")),
        "langchain_responses": responses.invoke("x").text,
        "langchain_responses_stream": "".join(chunk.text for chunk in responses.stream("x")),
        "langchain_tool": chat.bind_tools([TOOL | {"description": "x"}]).invoke("x").tool_calls[0]["args"],
        "langchain_embedding": embeddings.embed_query("x"),
    }


def refuse(ask: Any) -> str:
    try:
        ask()
    except (openai.OpenAIError, anthropic.AnthropicError) as error:
        return type(error).__name__
    return "answered"


if __name__ == "__main__":
    found = {**ask_openai(*sys.argv[1:]), **ask_anthropic(*sys.argv[1:]), **ask_langchain(*sys.argv[1:])}
    sys.stdout.write(json.dumps(found))
