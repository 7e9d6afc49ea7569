"""What becomes of a text before it is stored: it is masked, and where that is asked for, sealed."""

import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson

from spanwell.masking import mask_json
from spanwell.settings import Settings
from spanwell_proxy.sealing.box import PREFIX, SEALED, UnsealError, read_key_id, seal, unseal
from spanwell_proxy.sealing.project import ProjectKey, find_key, key_path
from spanwell_proxy.sealing.users import UserKeys

logger = logging.getLogger(__name__)

SHOWN: Final = "[encrypted]"
KeepText = Callable[[str, str], str]  # messages in JSON, and whose call it was


def open_keeping(settings: Settings) -> KeepText | None:
    """None where no texts are stored. Raises ConfigError."""
    if not settings.capture_content:
        return None
    level = settings.mask
    if settings.seal_texts == "off":
        return lambda text, _: mask_json(text, level)
    project = find_key(settings)
    users = UserKeys(users_path(settings), project) if settings.seal_texts == "user" else None
    return lambda text, user: seal_messages(mask_json(text, level), user, project, users)


def users_path(settings: Settings) -> Path:
    return key_path(settings).with_name("users.db")


def seal_messages(text: str, user: str, project: ProjectKey, users: UserKeys | None) -> str:
    """Messages in JSON as one message whose only part is sealed; empty where the key cannot be had."""
    key_id, key = project.id, project.derive("texts")
    if users and user:
        try:
            key_id, key = users.find(user)
        except (sqlite3.Error, UnsealError) as error:
            logger.warning("a text is left out: the user's key cannot be had: %s", error)
            return ""
    part = {"type": "encrypted", "content": SHOWN, "sealed": seal(text, key_id, key)}
    return orjson.dumps([{"role": "encrypted", "parts": [part]}]).decode()


def unseal_all(line: str, project: ProjectKey, users: UserKeys | None) -> tuple[str, int]:
    """A line of whatever was exported, with the texts that can be read in their place; and how many could not."""
    lost = 0

    def read(token: str) -> str:
        nonlocal lost
        try:
            return read_text(token, project, users)
        except UnsealError:
            lost += 1
            return token

    if PREFIX not in line:
        return line, 0
    text = _open_text(line.rstrip("\n"), read)
    return text + "\n" * line.endswith("\n"), lost


def _open_text(text: str, read: Callable[[str], str]) -> str:
    """JSON is opened at its leaves, which may be JSON again: how a store is exported is not for us to know."""
    if PREFIX not in text:
        return text
    try:
        return orjson.dumps(_open(orjson.loads(text), read)).decode()
    except (ValueError, orjson.JSONEncodeError, RecursionError):  # no JSON, or somebody's prompt that is too deep
        return SEALED.sub(lambda match: read(match[0]), text)


def _open(value: Any, read: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return _open_text(value, read)
    if isinstance(value, dict):
        return {key: _open(item, read) for key, item in value.items()}
    if isinstance(value, list):
        token = _find_sealed(value)
        if token and not (told := read(token)).startswith(PREFIX):
            return orjson.loads(told)
        return [_open(item, read) for item in value] if not token else value
    return value


def _find_sealed(messages: list[Any]) -> str:
    """What `seal_messages` wrote, in messages that it did write."""
    try:
        (message,) = messages
        (part,) = message["parts"]
        token = str(part["sealed"])
        return token if message["role"] == part["type"] == "encrypted" and SEALED.fullmatch(token) else ""
    except (ValueError, KeyError, TypeError):
        return ""


def read_text(token: str, project: ProjectKey, users: UserKeys | None) -> str:
    """Raises UnsealError."""
    key_id = read_key_id(token)
    if key_id == project.id:
        return unseal(token, project.derive("texts"))
    if users is None:
        raise UnsealError("it was sealed with a user's key, and there are none")
    return unseal(token, users.find_by_id(key_id))
