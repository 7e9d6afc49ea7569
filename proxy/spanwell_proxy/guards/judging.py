"""What a guard is: a value that looks at the texts of a request or an answer, and says what it found."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, Literal, NamedTuple, Protocol

from spanwell.masking import replace
from spanwell.pii import Found
from spanwell_proxy.guarded import Action, Where
from spanwell_proxy.guards.finding import Finder
from spanwell_proxy.guards.texts import Place, Text, change_answer, change_request, list_answered, list_asked

MOST_MODELS = 1000  # names that wildcards catch come from clients
Write = Callable[[Found, str], str]


class AskModel(Protocol):
    """Makes a call of the guard's own, and gives the answer. Raises GuardFailedError."""

    async def __call__(self, path: str, body: dict[str, Any]) -> dict[str, Any]: ...


class GuardFailedError(Exception):
    """A guard could not do its work: what it depends on failed, or took too long."""


@dataclass(frozen=True)
class Subject:
    """What is looked at: the request, or the answer to it."""

    where: Where
    model: str
    request: Mapping[str, Any]
    answer: Mapping[str, Any] | None
    user: str
    ask: AskModel

    @property
    def document(self) -> Mapping[str, Any]:
        return self.request if self.answer is None else self.answer

    def texts(self) -> list[Text]:
        return list_asked(self.request) if self.answer is None else list_answered(self.answer)


class Finding(NamedTuple):
    """What was found, by kind; nothing found is nothing to do. `changed` is the document without it."""

    found: Mapping[str, int | float]
    changed: dict[str, Any] | None = None
    told: str = ""  # what a model is told that is asked again
    cut_tokens: int = 0


NOTHING = Finding({})
Judge = Callable[[Subject], Awaitable[Finding]]


@dataclass(frozen=True, eq=False)
class Guard:
    """Either a finder, which works on streams piece by piece, or a judge, which needs the whole."""

    name: str
    on: frozenset[Where]
    action: Action
    models: tuple[str, ...] = ()  # patterns of names; none of them means all
    finder: Finder | None = None
    judge: Judge | None = None
    is_reversible: bool = False
    is_beside: bool = False  # looks at the request while a backend already answers it
    asks_again: bool = False
    on_error: Literal["block", "pass"] = "block"
    timeout_s: float = 10.0

    def guards(self, model: str) -> bool:
        return not self.models or any(fnmatchcase(model, pattern) for pattern in self.models)


@dataclass(frozen=True)
class Watch:
    """The guards of one model name, in their order."""

    input: tuple[Guard, ...]
    output: tuple[Guard, ...]


@dataclass(frozen=True, eq=False)
class Guards:
    """All that are configured."""

    guards: Sequence[Guard]
    _watch: Callable[[str], Watch | None] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_watch", lru_cache(MOST_MODELS)(self._choose))

    def find(self, model: str) -> Watch | None:
        """Those of a model name; None where there is none."""
        return self._watch(model)

    def may_ask_again(self, model: str) -> bool:
        """Whether an answer may have to be paid for twice."""
        watch = self._watch(model)
        return watch is not None and any(guard.asks_again for guard in watch.output)

    def _choose(self, model: str) -> Watch | None:
        chosen = [guard for guard in self.guards if guard.guards(model)]
        if not chosen:
            return None
        return Watch(*(tuple(guard for guard in chosen if where in guard.on) for where in ("input", "output")))


def search(finder: Finder, subject: Subject, write: Write | None = None) -> Finding:
    """Every place a finder points at, and the document without them."""
    counts: Counter[str] = Counter()
    put = write or finder.write

    def change(text: str, _: Place) -> str:
        found = finder.find(text)
        counts.update(one.kind for one in found)
        return replace(text, found, put) if found else text

    changed = (
        change_request(subject.request, change) if subject.answer is None else change_answer(subject.answer, change)
    )
    return Finding(counts, changed) if counts else NOTHING
