"""Pictures: OpenAI's `/images/generations`, `/images/edits` and `/images/variations`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from spanwell.pricing import Usage
from spanwell_proxy.apis.answers import read_answer
from spanwell_proxy.apis.api import Api, Document, Messages, Request
from spanwell_proxy.apis.chat import error_event
from spanwell_proxy.apis.events import write_event
from spanwell_proxy.apis.media_stream import MediaReader
from spanwell_proxy.failures import bad_request


def check_prompt(request: Request) -> None:
    """Raises ApiError 400."""
    if not isinstance(request.get("prompt"), str) or not request["prompt"]:
        raise bad_request("prompt must be a text", "prompt")


def check_image(request: Request) -> None:
    """Raises ApiError 400."""
    given = request.get("image")
    if not all(isinstance(one, dict) for one in (given if isinstance(given, list) else [given])):
        raise bad_request("image must be a file", "image")


def check_edit(request: Request) -> None:
    check_prompt(request)
    check_image(request)


def prepare(request: dict[str, Any]) -> None:
    pass


def read(body: bytes) -> Document:
    """Raises BrokenAnswerError."""
    return read_answer(body, "data", "list of pictures")


def read_image_usage(reported: Mapping[str, Any]) -> Usage:
    """OpenAI's: what came out are a picture's tokens, what went in are a text's and pictures'."""
    details = reported.get("input_tokens_details")
    sent, drawn = _count(reported.get("input_tokens")), _count(reported.get("output_tokens"))
    seen = _count(details.get("image_tokens")) if isinstance(details, dict) else 0
    return Usage(input=sent, output=drawn, image_input=min(seen, sent), image_output=drawn)


def usage(answer: Document) -> Usage | None:
    reported = answer.get("usage")
    return read_image_usage(reported) if isinstance(reported, dict) else Usage()


def pieces(_: Request, answer: Document) -> dict[str, int]:
    data = answer.get("data")
    return {"image": len(data) if isinstance(data, list) else 1}


def asked(request: Request) -> Messages:
    parts = [{"type": "text", "content": request["prompt"]}] if isinstance(request.get("prompt"), str) else []
    given = request.get("image")
    for one in given if isinstance(given, list) else [given]:
        if isinstance(one, dict):
            told = f"[picture {one.get('filename')}, {one.get('content_type')}, {one.get('size_bytes')} bytes]"
            parts.append({"type": "text", "content": told})
    return [{"role": "user", "parts": parts}]


def answered(answer: Document) -> Messages:
    """How many pictures came, and what the model made of the prompt; never the pictures themselves."""
    data = answer.get("data")
    shown = [_tell(one) for one in (data if isinstance(data, list) else [answer])]
    return [{"role": "assistant", "parts": [{"type": "text", "content": text} for text in shown]}]


def reasons(_: Document) -> list[str]:
    return []


def max_tokens(_: Request) -> int | None:
    return None


def open_reader(_: Request) -> MediaReader:
    return MediaReader(read_image_usage)


def as_stream(answer: Document, request: Request) -> bytes:
    """The pictures of a whole answer, each as the event that ends its stream. The last one tells the usage."""
    kind = "image_edit.completed" if "image" in request else "image_generation.completed"
    shared = {key: answer.get(key) for key in ("background", "output_format", "quality", "size")}
    pictures = [picture for picture in answer["data"] if isinstance(picture, dict)]
    events = [{"type": kind, "created_at": answer.get("created"), **shared, **picture} for picture in pictures]
    if events:
        events[-1]["usage"] = answer.get("usage")
    return b"".join(map(write_event, events))


def _tell(picture: Any) -> str:
    if not isinstance(picture, dict):
        return "[picture]"
    encoded, prompt = picture.get("b64_json"), picture.get("revised_prompt")
    told = f"[picture, {len(encoded) * 3 // 4} bytes]" if isinstance(encoded, str) else "[picture]"
    return f"{told} {prompt}" if isinstance(prompt, str) else told


def _count(value: Any) -> int:
    return value if isinstance(value, int) and 0 < value < 2**32 else 0


IMAGE_GENERATIONS = Api(
    name="image_generations",
    operation="image_generation",
    path="/images/generations",
    dialect="openai",
    check=check_prompt,
    prepare=prepare,
    read=read,
    usage=usage,
    pieces=pieces,
    asked=asked,
    answered=answered,
    reasons=reasons,
    max_tokens=max_tokens,
    open_reader=open_reader,
    as_stream=as_stream,
    error_event=error_event,
)
IMAGE_EDITS = replace(IMAGE_GENERATIONS, name="image_edits", path="/images/edits", check=check_edit, takes_form=True)
IMAGE_VARIATIONS = replace(IMAGE_EDITS, name="image_variations", path="/images/variations", check=check_image)
