"""How far a batch has come that a provider works at, as its row keeps it; and what a provider has against one."""

from dataclasses import dataclass
from typing import Any, Final, Literal

from spanwell_proxy.batches.lines import MOST_ERRORS, Mistake
from spanwell_proxy.batches.store import Row
from spanwell_proxy.config.routes import Deployment
from spanwell_proxy.failures import ApiError
from spanwell_proxy.upstream.refusals import LONGEST_MESSAGE, clean

LONGEST_CODE: Final = 100


@dataclass(frozen=True)
class Handed:
    """`begun`: the provider has it; `read`: what it answered is ours; `over`: it has no more part in it.

    `is_creating` means that it may have it, though nobody has heard so. `leftovers` are files to be deleted there,
    `mistakes` are what the batch fails for.
    """

    state: Literal["new", "begun", "read", "over"] = "new"
    model: str = ""
    deployment: str = ""
    file_id: str = ""
    is_creating: bool = False
    batch_id: str = ""
    leftovers: tuple[str, ...] = ()
    mistakes: tuple[dict[str, Any], ...] = ()


class RefusedError(Exception):
    """The provider says that the batch is wrong."""

    def __init__(self, failure: ApiError) -> None:
        super().__init__(failure.message)
        self.failure = failure


def read_handed(row: Row) -> Handed:
    return Handed(**row["handed"])


def to_mistake(failure: ApiError) -> Mistake:
    return Mistake(failure.kind, failure.message)


def read_mistakes(ended: dict[str, Any], deployment: Deployment, numbers: list[int]) -> list[Mistake]:
    """The errors of a provider's batch. Its line is the place in `numbers`, which are our lines."""
    errors = ended.get("errors")
    listed = errors.get("data") if isinstance(errors, dict) else None
    said = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    mistakes = []
    for one in said[:MOST_ERRORS]:
        code, message, param = (clean_text(one.get(key), deployment) for key in ("code", "message", "param"))
        line = one.get("line")
        number = numbers[line - 1] if type(line) is int and 0 < line <= len(numbers) else None
        mistakes.append(Mistake(code[:LONGEST_CODE] or "upstream_failed", message, number, param or None))
    return mistakes or [Mistake("upstream_failed", "the provider's batch failed, and it does not say why")]


def clean_text(value: Any, deployment: Deployment) -> str:
    """A provider's word, without secrets; empty where it is no text."""
    return clean(value, deployment)[:LONGEST_MESSAGE] if isinstance(value, str) else ""
