"""Guards that are the operator's own Python: `call: package.module:function`.

The function is given one mapping, {where, model, user, texts, request, answer}, and says what it found: None or False,
True, a name, or {"found": {name: count}, "texts": [...]} with as many texts as it was given, to stand in their place.
A plain function runs in a thread, so it may wait; a coroutine function runs in the proxy's own loop, and may not.
"""

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

from spanwell.errors import ConfigError
from spanwell_proxy.guards.judging import NOTHING, Finding, GuardFailedError, Judge, Subject
from spanwell_proxy.guards.texts import change_answer, change_request
from spanwell_proxy.guards.threads import RaisedError, Threads

MOST_THREADS: Final = 8  # of one guard: those that hang are never more


def find_callable(name: str, where: str) -> Callable[[Mapping[str, Any]], Any]:
    """Raises ConfigError."""
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function) if function else None
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from None
    if not callable(found):
        raise ConfigError(f"{where}: write package.module:function")
    return found  # type: ignore[no-any-return]


def judge_by_call(function: Callable[[Mapping[str, Any]], Any]) -> Judge:
    """What the function says. Raises GuardFailedError where it raises, or says what is no answer."""
    threads = Threads(MOST_THREADS)

    async def judge(subject: Subject) -> Finding:
        told = _tell(subject)
        try:
            said = await (function(told) if inspect.iscoroutinefunction(function) else threads.run(function, told))
        except RaisedError as error:
            raise GuardFailedError(f"it raised {error}") from error.__cause__
        except Exception as error:  # somebody else's code: whatever it raises is its failure
            raise GuardFailedError(f"it raised {type(error).__name__}") from error
        return _read(said, subject, told["texts"])

    return judge


def _tell(subject: Subject) -> dict[str, Any]:
    return {
        "where": subject.where,
        "model": subject.model,
        "user": subject.user,
        "texts": [one.text for one in subject.texts()],
        "request": subject.request,
        "answer": subject.answer,
    }


def _read(said: Any, subject: Subject, texts: list[str]) -> Finding:
    if said is None or said is False:
        return NOTHING
    if said is True or isinstance(said, str):
        return Finding({said if isinstance(said, str) else "found": 1})
    found = said.get("found") if isinstance(said, dict) else None
    counts = isinstance(found, dict) and all(isinstance(count, int | float) for count in found.values())
    instead = said.get("texts") if isinstance(said, dict) else None
    if not isinstance(found, dict) or not counts or not _may_stand(instead, texts):
        raise GuardFailedError("it answered what is no finding")
    return (
        Finding({str(name): count for name, count in found.items()}, _replace(subject, instead)) if found else NOTHING
    )


def _may_stand(instead: Any, texts: list[str]) -> bool:
    if instead is None:
        return True
    return isinstance(instead, list) and len(instead) == len(texts) and all(isinstance(one, str) for one in instead)


def _replace(subject: Subject, instead: list[str] | None) -> dict[str, Any] | None:
    if instead is None:
        return None
    left = iter(instead)
    if subject.answer is None:
        return change_request(subject.request, lambda _, __: next(left))
    return change_answer(subject.answer, lambda _, __: next(left))
