"""Sounds: OpenAI's `/audio/speech`, `/audio/transcriptions` and `/audio/translations`."""

import re
from collections.abc import Mapping
from dataclasses import replace
from math import ceil
from typing import Any, Final

import orjson

from spanwell.pricing import Usage
from spanwell_proxy.apis.api import Api, Document, Messages, Request
from spanwell_proxy.apis.chat import error_event
from spanwell_proxy.apis.events import write_event
from spanwell_proxy.apis.media_stream import MediaReader
from spanwell_proxy.apis.raw_stream import RawReader
from spanwell_proxy.failures import bad_request

LETTERS_A_SECOND: Final = 15  # as people speak
STAMP: Final = re.compile(r"--> *(?:(\d{1,3}):)?(\d\d):(\d\d)")  # the end of a piece of a srt or vtt file
SECONDS: Final = frozenset(("second",))
NOTHING: Final[frozenset[str]] = frozenset()


def check_speech(request: Request) -> None:
    """Raises ApiError 400."""
    if not isinstance(request.get("input"), str) or not request["input"]:
        raise bad_request("input must be a text", "input")


def check_file(request: Request) -> None:
    """Raises ApiError 400."""
    if not isinstance(request.get("file"), dict):
        raise bad_request("file must be a sound, in a form", "file")


def prepare(request: dict[str, Any]) -> None:
    pass


def read_sound(body: bytes) -> Document:
    """A sound is not looked into."""
    return {"size_bytes": len(body)}


def read_transcript(body: bytes) -> Document:
    """JSON, or the text alone as `response_format` asks for it."""
    try:
        answer = orjson.loads(body)
    except ValueError:
        answer = None
    return answer if isinstance(answer, dict) else {"text": body.decode("utf-8", "replace")}


def read_audio_usage(reported: Mapping[str, Any]) -> Usage:
    """Tokens, where the model counts them; those of a sound apart."""
    details = reported.get("input_token_details")
    sent, received = _count(reported.get("input_tokens")), _count(reported.get("output_tokens"))
    heard = _count(details.get("audio_tokens")) if isinstance(details, dict) else 0
    return Usage(input=sent, output=received, audio_input=min(heard, sent))


def no_usage(_: Document) -> Usage | None:
    return Usage()


def usage(answer: Document) -> Usage | None:
    reported = answer.get("usage")
    return read_audio_usage(reported) if isinstance(reported, dict) else Usage()


def speech_pieces(request: Request, _: Document) -> dict[str, int]:
    """How long it sounds is a guess: nobody looks into a sound."""
    count = len(str(request.get("input") or ""))
    return {"character": count, "second": ceil(count / LETTERS_A_SECOND)}


def guessed_speech(_: Document) -> frozenset[str]:
    return SECONDS


def transcript_pieces(_: Request, answer: Document) -> dict[str, int]:
    """Seconds of sound, begun ones whole: as the answer tells, else up to its last time stamp, else by its length."""
    told = _told_seconds(answer)
    if told is not None:
        return {"second": told}
    text = str(answer.get("text") or "")
    if stamps := STAMP.findall(text):
        hours, minutes, seconds = (int(part or 0) for part in stamps[-1])
        return {"second": hours * 3600 + minutes * 60 + seconds + 1}
    return {"second": ceil(len(text) / LETTERS_A_SECOND)}


def guessed_transcript(answer: Document) -> frozenset[str]:
    return NOTHING if _told_seconds(answer) is not None else SECONDS


def _told_seconds(answer: Document) -> int | None:
    reported = answer.get("usage")
    told = reported.get("seconds") if isinstance(reported, dict) else None
    seconds = told or answer.get("duration")
    try:
        return ceil(float(seconds)) if seconds is not None else None
    except (TypeError, ValueError, OverflowError):
        return None


def asked_speech(request: Request) -> Messages:
    return [{"role": "user", "parts": [{"type": "text", "content": str(request.get("input") or "")}]}]


def asked_transcript(request: Request) -> Messages:
    file, prompt = request.get("file"), request.get("prompt")
    parts = [{"type": "text", "content": prompt}] if isinstance(prompt, str) and prompt else []
    if isinstance(file, dict):
        told = f"[sound {file.get('filename')}, {file.get('content_type')}, {file.get('size_bytes')} bytes]"
        parts.append({"type": "text", "content": told})
    return [{"role": "user", "parts": parts}]


def answered_speech(answer: Document) -> Messages:
    return [{"role": "assistant", "parts": [{"type": "text", "content": f"[sound, {answer['size_bytes']} bytes]"}]}]


def answered_transcript(answer: Document) -> Messages:
    text = answer.get("text")
    return [{"role": "assistant", "parts": [{"type": "text", "content": text if isinstance(text, str) else ""}]}]


def reasons(_: Document) -> list[str]:
    return []


def max_tokens(_: Request) -> int | None:
    return None


def open_reader(_: Request) -> MediaReader:
    return MediaReader(read_audio_usage)


def as_stream(answer: Document, _: Request) -> bytes:
    """A whole transcript, as of a model that does not stream, as the events of a stream."""
    text = answer.get("text") or ""
    delta = {"type": "transcript.text.delta", "delta": text}
    return write_event(delta) + write_event(
        {"type": "transcript.text.done", "text": text, "usage": answer.get("usage")}
    )


def _count(value: Any) -> int:
    return value if isinstance(value, int) and 0 < value < 2**32 else 0


SPEECH = Api(
    name="speech",
    operation="speech",
    path="/audio/speech",
    dialect="openai",
    check=check_speech,
    prepare=prepare,
    read=read_sound,
    usage=no_usage,
    pieces=speech_pieces,
    guessed=guessed_speech,
    open_reader=lambda _: RawReader(),
    always_streams=True,
    asked=asked_speech,
    answered=answered_speech,
    reasons=reasons,
    max_tokens=max_tokens,
    is_opaque=True,
)
TRANSCRIPTIONS = Api(
    name="transcriptions",
    operation="transcription",
    path="/audio/transcriptions",
    dialect="openai",
    check=check_file,
    prepare=prepare,
    read=read_transcript,
    usage=usage,
    pieces=transcript_pieces,
    guessed=guessed_transcript,
    asked=asked_transcript,
    answered=answered_transcript,
    reasons=reasons,
    max_tokens=max_tokens,
    open_reader=open_reader,
    as_stream=as_stream,
    error_event=error_event,
    is_opaque=True,
    takes_form=True,
)
TRANSLATIONS = replace(TRANSCRIPTIONS, name="translations", path="/audio/translations")
