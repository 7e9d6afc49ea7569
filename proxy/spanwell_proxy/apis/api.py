"""What an API of OpenAI's or Anthropic's is to the rest of the proxy: a value of functions, one module an API.

Nothing here knows of calls, callers or backends: a request's fields in, a verdict or a reading out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from spanwell.conventions import Operation
from spanwell.pricing import Usage
from spanwell_proxy.failures import ApiError

Headers = Mapping[bytes, bytes]
Request = Mapping[str, Any]
Document = dict[str, Any]
Messages = Sequence[Any]  # of {role, parts}, as spanwell.messages makes them


class BrokenAnswerError(Exception):
    """What came is no answer of this API, or the backend reported an error inside it, of which `status` is."""

    def __init__(self, message: str, status: int = 502) -> None:
        super().__init__(message)
        self.status = status


class Reader(Protocol):
    """An event stream as it passes: feed it what the backend sends, and it returns what the client gets."""

    id: str
    model: str  # that answered
    usage: Usage | None
    usage_is_partial: bool  # more is to come: where the stream breaks now, it is a guess
    service_tier: Any  # as the backend names it
    content_chunks: int  # events that said something
    done: bool  # the backend has said that this is all

    @property
    def complete(self) -> bool:
        """Whether the answer is whole, though the stream may go on."""

    def feed(self, data: bytes) -> bytes:
        """Whole events of `data` and of what was left before. Raises BrokenAnswerError."""

    def finish(self) -> bytes:
        """The stream has ended: what is left is an event too, though no blank line came after it."""

    def document(self) -> Document | None:
        """The answer as it would have come whole; None while nothing was said."""

    def is_replayable(self) -> bool:
        """Whether `document` holds all that was said."""


@dataclass(frozen=True, eq=False)
class Api:
    """`path` is below a backend's address. Where a thing does not exist for an API, its function is None."""

    name: str
    operation: Operation
    path: str
    dialect: Literal["openai", "anthropic"]  # the shape of its errors, and the headers its clients send
    check: Callable[[Request], None]  # raises ApiError 400, naming the field
    prepare: Callable[[dict[str, Any]], None]  # changes a request for a backend: asks it for the usage
    read: Callable[[bytes], Document]  # a whole answer; raises BrokenAnswerError
    usage: Callable[[Document], Usage | None]  # None: the backend reported none
    asked: Callable[[Request], Messages]
    answered: Callable[[Document], Messages]
    reasons: Callable[[Document], list[str]]  # why each choice ended
    max_tokens: Callable[[Request], int | None]  # of the answer, as the request bounds it
    open_reader: Callable[[Request], Reader] | None = None
    as_stream: Callable[[Document, Request], bytes] | None = None  # a whole answer as the events of a stream
    error_event: Callable[[ApiError], bytes] | None = None
    is_cacheable: Callable[[Request], bool] | None = None  # whether the same request may have the same answer
    pieces: Callable[[Request, Document], dict[str, int]] | None = None  # what is paid for by the piece, see PIECES
    guessed: Callable[[Document], frozenset[str]] | None = None  # those kinds of pieces that are guesses
    is_opaque: bool = False  # the answer's bytes, and their type, go on as they come
    takes_form: bool = False  # its requests are multipart forms
    is_passthrough: bool = False  # a path that only its backend knows
    always_streams: bool = False  # whatever the request says
    whole_reasons: frozenset[str] = frozenset()  # of `reasons`, those after which nothing is missing
    keeps_answers: bool = False  # a backend can be asked for them later, by their id
    goes_on_with: Callable[[Request], str] | None = None  # id of an earlier answer; "" where it begins anew
    kept_metadata: frozenset[str] = frozenset()  # keys of `metadata` that backends know, though the proxy reads them
    relay_headers: Callable[[Headers], dict[str, str]] | None = None  # of a client's headers, those a backend may see
