"""The one module that imports LiteLLM: it translates each API for backends that do not speak it themselves.

Every API of text becomes a chat completion and back. Which backend, and with which key, comes from the hot lane, never
from a client; retries, fallbacks, cost and spans stay there too. LiteLLM's router, cache, hooks and server are unused.
"""

import struct
import time
import uuid
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from io import BytesIO
from typing import Any, NamedTuple, cast

import httpx
import litellm
import orjson
from litellm._logging import verbose_logger
from litellm.llms.anthropic.pass_through.adapters.transformation import AnthropicAdapter
from litellm.responses.litellm_completion_transformation.transformation import LiteLLMCompletionResponsesConfig

from spanwell_proxy.errand import Errand, File
from spanwell_proxy.failures import ApiError, bad_request
from spanwell_proxy.lane import parameters
from spanwell_proxy.lane.completions import ChunkTidier, Json, drop_numbers, tidy_completion, tidy_text, tidy_usage
from spanwell_proxy.lane.messages import MessageEvents, to_message
from spanwell_proxy.lane.parameters import check_messages, check_response, check_shape, pick, read_numbers, shaping
from spanwell_proxy.lane.responses import Origin, ResponseEvents, to_response

litellm.disable_hf_tokenizer_download = True  # a model's name must not start a download
litellm.suppress_debug_info = True
verbose_logger.disabled = True  # it quotes prompts; what went wrong is answered
litellm.disable_streaming_logging = True  # it would put every stream together again, for nobody
litellm.disable_token_counter = True  # or it counts what a backend does not report, and calls that its usage
# LiteLLM's clients follow redirects, and take along whatever header a provider's key stands in.
httpx.Response.has_redirect_location = property(lambda _: False)  # type: ignore[assignment,method-assign]
litellm.drop_params = True  # what a backend has no word for is left out, unless the answer would lack what was asked

JSON = b"application/json"
EVENT_STREAM = b"text/event-stream"
DONE = b"data: [DONE]\n\n"
# Of code that takes apart what it did not expect.
MALFORMED = (AttributeError, IndexError, KeyError, TypeError, ValueError)

ADAPTER = AnthropicAdapter()


class Reply(NamedTuple):
    """What goes back: a body whole, or the parts of one."""

    body: bytes | AsyncIterator[bytes]
    content_type: bytes = JSON


Translate = Callable[[Errand, Mapping[str, str]], Awaitable[Reply]]


async def chat(errand: Errand, trace: Mapping[str, str]) -> Reply:
    check_messages(errand.request.get("messages"))
    asked = pick(errand.request, parameters.CHAT)
    asked["messages"] = list(map(drop_numbers, asked["messages"]))
    _check_shape(errand)
    answer = await litellm.acompletion(**_arguments(errand, asked, trace))
    if asked.get("stream"):
        return Reply(_events(answer, ChunkTidier().tidy), EVENT_STREAM)
    return Reply(orjson.dumps(tidy_completion(_plain(answer))))


async def completions(errand: Errand, trace: Mapping[str, str]) -> Reply:
    asked = pick(errand.request, parameters.COMPLETIONS)
    if isinstance(asked.get("prompt"), list) and len(asked["prompt"]) != 1:
        raise bad_request("the backend of this model takes one prompt a call", "prompt")
    _check_shape(errand)
    answer = await litellm.atext_completion(**_arguments(errand, asked, trace))
    if asked.get("stream"):
        return Reply(_events(answer, tidy_text), EVENT_STREAM)
    return Reply(orjson.dumps(tidy_text(_plain(answer))))


async def messages(errand: Errand, trace: Mapping[str, str]) -> Reply:
    """Anthropic's API on any backend."""
    request, names = _read_messages(errand, pick(errand.request, parameters.MESSAGES))
    if stream := bool(errand.request.get("stream")):
        request |= {"stream": True, "stream_options": {"include_usage": True}}
    answer = await litellm.acompletion(**_arguments(errand, request, trace))
    message_id = f"msg_{uuid.uuid4().hex}"
    if stream:
        return Reply(_events_by(MessageEvents(message_id, names), answer), EVENT_STREAM)
    return Reply(orjson.dumps(to_message(tidy_completion(_plain(answer)), message_id, names)))


async def count_tokens(errand: Errand, _: Mapping[str, str]) -> Reply:
    """Counted here with OpenAI's tokenizer: about right for others' models. Pictures are not fetched for it."""
    request, _names = _read_messages(errand, pick(errand.request, parameters.COUNT))
    shown = {key: request[key] for key in ("messages", "tools", "tool_choice") if key in request}
    litellm.disable_token_counter = False  # for this line: nobody else runs in between
    try:
        tokens = litellm.token_counter(model=errand.params["model"], use_default_image_token_count=True, **shown)
    except MALFORMED as error:
        raise _untranslatable(error) from error
    finally:
        litellm.disable_token_counter = True
    return Reply(orjson.dumps({"input_tokens": tokens}))


async def responses(errand: Errand, trace: Mapping[str, str]) -> Reply:
    """OpenAI's newer API on a backend of chat completions. Nothing is kept between calls."""
    check_response(errand.request)
    asked = pick(errand.request, parameters.RESPONSES)
    stream, given, provider = bool(asked.pop("stream", None)), asked.pop("input", ""), _provider(errand)
    try:
        request = LiteLLMCompletionResponsesConfig.transform_responses_api_request_to_chat_completion_request(
            model=errand.params["model"],
            input=given,
            responses_api_request=cast(Any, asked),
            custom_llm_provider=provider,
            stream=stream,
            service_tier=asked.get("service_tier"),
        )
    except MALFORMED as error:
        raise _untranslatable(error) from error
    answer = await litellm.acompletion(**_arguments(errand, request, trace))
    origin = Origin(errand.request, uuid.uuid4().hex, int(time.time()))
    if stream:
        return Reply(_events_by(ResponseEvents(origin), answer), EVENT_STREAM)
    return Reply(orjson.dumps(to_response(tidy_completion(_plain(answer)), origin)))


async def embeddings(errand: Errand, trace: Mapping[str, str]) -> Reply:
    asked = pick(errand.request, parameters.EMBEDDINGS)
    answer = tidy_usage(_plain(await litellm.aembedding(**_arguments(errand, asked, trace))))
    if errand.request.get("encoding_format") == "base64":
        for item in answer["data"]:
            vector = item["embedding"]
            if isinstance(vector, list):
                item["embedding"] = b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    return Reply(orjson.dumps(answer))


async def rerank(errand: Errand, trace: Mapping[str, str]) -> Reply:
    asked = pick(errand.request, parameters.RERANK)
    return Reply(orjson.dumps(_plain(await litellm.arerank(**_arguments(errand, asked, trace)))))


async def moderations(errand: Errand, trace: Mapping[str, str]) -> Reply:
    asked = pick(errand.request, parameters.MODERATIONS)
    answer = await litellm.amoderation(**_arguments(errand, asked, trace))
    return Reply(orjson.dumps(answer.model_dump(by_alias=True)))


async def generate_images(errand: Errand, trace: Mapping[str, str]) -> Reply:
    asked = pick(errand.request, parameters.IMAGES)
    return _images(await litellm.aimage_generation(**_arguments(errand, asked, trace)))


async def edit_images(errand: Errand, trace: Mapping[str, str]) -> Reply:
    asked = pick(read_numbers(errand.request), parameters.IMAGES)
    pictures = [_open(file) for file in errand.files if file.field in ("image", "image[]")]
    if not pictures:
        raise bad_request("send the picture as the form's file image", "image")
    mask = next((_open(file) for file in errand.files if file.field == "mask"), None)
    return _images(await litellm.aimage_edit(image=pictures, mask=mask, **_arguments(errand, asked, trace)))


async def speak(errand: Errand, trace: Mapping[str, str]) -> Reply:
    asked = pick(errand.request, parameters.SPEECH)
    answer = await litellm.aspeech(**_arguments(errand, {"voice": None} | asked, trace))
    kind = answer.response.headers.get("content-type") or "application/octet-stream"
    return Reply(answer.content, kind.encode("latin-1", "replace"))


async def transcribe(errand: Errand, trace: Mapping[str, str]) -> Reply:
    asked = pick(read_numbers(errand.request), parameters.TRANSCRIPTION)
    recording = next((file for file in errand.files if file.field == "file"), None)
    if recording is None:
        raise bad_request("send the recording as the form's file", "file")
    answer = await litellm.atranscription(
        file=(recording.name, recording.data, recording.content_type), **_arguments(errand, asked, trace)
    )
    if errand.request.get("response_format") in ("text", "srt", "vtt"):
        return Reply((answer.text or "").encode(), b"text/plain; charset=utf-8")
    return Reply(orjson.dumps(_plain(answer)))


TRANSLATIONS: dict[str, Translate] = {
    "/chat/completions": chat,
    "/completions": completions,
    "/messages": messages,
    "/messages/count_tokens": count_tokens,
    "/responses": responses,
    "/embeddings": embeddings,
    "/rerank": rerank,
    "/moderations": moderations,
    "/images/generations": generate_images,
    "/images/edits": edit_images,
    "/audio/speech": speak,
    "/audio/transcriptions": transcribe,
}


async def translate(errand: Errand, trace: Mapping[str, str]) -> Reply:
    """Raises ApiError, or an error of LiteLLM's that `refusals` knows. A stream may raise them later."""
    translation = TRANSLATIONS.get(errand.path)
    if translation is None:
        raise ApiError(404, "not_offered", f"the backend of this model does not offer {errand.path}")
    return await translation(errand, trace)


async def _events(answer: AsyncIterator[Any], tidy: Callable[[Json], Json]) -> AsyncIterator[bytes]:
    async for part in answer:
        chunk = tidy(_plain(part))
        if chunk.get("choices") or chunk.get("usage"):
            yield b"data: " + orjson.dumps(chunk) + b"\n\n"
    yield DONE


async def _events_by(writer: MessageEvents | ResponseEvents, answer: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    begun, tidier = False, ChunkTidier()
    async for part in answer:
        chunk = tidier.tidy(_plain(part))
        if not begun:
            yield writer.begin(chunk)
            begun = True
        if events := writer.feed(chunk):
            yield events
    yield writer.finish()


def _arguments(errand: Errand, asked: Json, trace: Mapping[str, str]) -> Json:
    """What stands in the configuration counts where the request says nothing; it alone says where the call goes."""
    headers = {**(errand.params.get("extra_headers") or {}), **trace}
    ours = {"model": errand.params["model"], "timeout": errand.timeout_s, "num_retries": 0, "max_retries": 0}
    # Without this every call with tools fails for want of a package that LiteLLM's own proxy brings.
    return {**errand.params, **asked, **ours, "extra_headers": headers, "_skip_mcp_handler": True}


def _read_messages(errand: Errand, asked: Json) -> tuple[Json, dict[str, str]]:
    """Anthropic's request as a chat completion's, and the tools' names that had to be cut for it."""
    check_messages(asked.get("messages"))
    metadata = errand.request.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("user_id"), str):
        asked["metadata"] = {"user_id": metadata["user_id"]}
    try:
        request, names = ADAPTER.translate_completion_input_params_with_tool_mapping(
            asked | {"model": errand.params["model"]}, custom_llm_provider=_provider(errand)
        )
    except MALFORMED as error:
        raise _untranslatable(error) from error
    return {key: value for key, value in (request or {}).items() if key not in ("model", "metadata", "stream")}, names


def _check_shape(errand: Errand) -> None:
    if shaping(errand.request):
        supported = litellm.get_supported_openai_params(errand.params["model"]) or ()
        check_shape(errand.request, frozenset(supported), _provider(errand))


def _provider(errand: Errand) -> str:
    named = errand.params.get("custom_llm_provider")
    return str(named or litellm.get_llm_provider(errand.params["model"], api_base=errand.params.get("api_base"))[1])


def _images(answer: Any) -> Reply:
    return Reply(orjson.dumps(tidy_usage(_plain(answer))))


def _open(file: File) -> BytesIO:
    stream = BytesIO(file.data)
    stream.name = file.name
    return stream


def _plain(answer: Any) -> Json:
    document: Json = answer.model_dump(exclude_none=True)
    return document


def _untranslatable(error: Exception) -> ApiError:
    return ApiError(
        400, "invalid_request", f"the request cannot be translated for this model's backend: {error!r:.200}"
    )
