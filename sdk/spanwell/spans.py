"""A span: how it starts, what may be put on it, and how it ends. Nothing here raises into the host."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from spanwell import conventions as names
from spanwell.errors import shielded
from spanwell.masking import mask_secrets
from spanwell.payload import clean, cut, to_attribute, to_text
from spanwell.sessions import restore, session_headers
from spanwell.setup import OFF, current

MAX_MESSAGE_CHARS = 2000
CONTENT = {"input": names.INPUT, "output": names.OUTPUT}
PROPAGATOR = TraceContextTextMapPropagator()


def span(name: str, operation: names.Operation = "", **attributes: Any) -> "Span":
    """A span around a block: `with span("rank", candidates=9) as it:`, or `async with`.

    Attributes may hold anything that JSON can; `input=` and `output=` are stored as the span's texts.
    An exception ends the span as an error and goes on unchanged.
    """
    return Span(name, operation, attributes)


def current_trace_id() -> str | None:
    """The trace that this code runs in, as 32 hex digits; None outside of any."""
    found = trace.get_current_span().get_span_context()
    return trace.format_trace_id(found.trace_id) if found.is_valid else None


def headers() -> dict[str, str]:
    """Request headers that make a called service's spans children of the current one: `extra_headers=headers()`.

    `traceparent` (and `tracestate`), and the session's user and session for Spanwell's proxy.
    """
    carrier: dict[str, str] = {}
    with shielded("write headers"):
        PROPAGATOR.inject(carrier)
        carrier.update(session_headers())
    return carrier


class Span:
    """One span, and the handle that `with` gives. It starts on entering."""

    __slots__ = ("_attached", "_attributes", "_context", "_name", "_operation", "_outer", "_runtime", "_span")

    def __init__(self, name: str, operation: names.Operation, attributes: dict[str, Any]) -> None:
        self._name = name
        self._operation = operation
        self._attributes = attributes
        self._runtime = OFF
        self._span: trace.Span = trace.INVALID_SPAN
        self._context: Context | None = None
        self._outer: Context | None = None

    @property
    def trace_id(self) -> str:
        """32 hex digits; zeros if the span is not recorded."""
        return trace.format_trace_id(self._span.get_span_context().trace_id)

    @property
    def span_id(self) -> str:
        """16 hex digits; zeros if the span is not recorded."""
        return trace.format_span_id(self._span.get_span_context().span_id)

    @property
    def takes_content(self) -> bool:
        """Whether texts put on the span will be stored."""
        return self._runtime.captures_content and self._span.is_recording()

    def set(self, **attributes: Any) -> None:
        """Put attributes on the span. `input=` and `output=` are its texts, stored unless content is switched off."""
        if not self._span.is_recording():
            return
        with shielded("set attributes"):
            for name, value in attributes.items():
                if name not in CONTENT:
                    self._span.set_attribute(clean(name), to_attribute(value))
                elif self.takes_content:
                    self._span.set_attribute(CONTENT[name], to_text(value))

    def set_text(self, which: Literal["input", "output"], text: str) -> None:
        """Store JSON text that is bounded and masked already."""
        self._span.set_attribute(CONTENT[which], text)

    def start(self) -> None:
        """Start the span under the current one, without becoming current."""
        with shielded("start a span"):
            self._runtime = runtime = current()
            found = _defaults(self._name, self._operation)
            self._span = runtime.tracer.start_span(
                clean(self._name), attributes=found, start_time=runtime.now_ns() if runtime.now_ns else None
            )
            self._context = trace.set_span_in_context(self._span)
        if self._attributes:
            self.set(**self._attributes)

    def attach(self) -> None:
        """Become the current span."""
        if self._context is not None:
            self._outer = context.get_current()
            context.attach(self._context)

    def detach(self) -> None:
        """Make the outer span current again."""
        if self._context is not None and self._outer is not None:
            restore(self._context, self._outer)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Be current for one step of a generator. What the step leaves current, the next one finds again."""
        outer = context.get_current()
        context.attach(self._context or outer)
        try:
            yield
        finally:
            self._context = context.get_current()
            context.attach(outer)

    def end(self, error: BaseException | None = None) -> None:
        """End the span, as a failure if there was an error."""
        with shielded("end a span"):
            if error is not None and not isinstance(error, GeneratorExit):
                self._record(error)
            runtime = self._runtime
            self._span.end(runtime.now_ns() if runtime.now_ns else None)

    def _record(self, error: BaseException) -> None:
        kind = _qualified_name(type(error))
        message = ""
        with shielded("read an exception's message"):
            message = clean(mask_secrets(cut(str(error), MAX_MESSAGE_CHARS)))
        self._span.set_attribute(names.ERROR_TYPE, kind)
        self._span.set_status(Status(StatusCode.ERROR, message))
        self._span.add_event(
            "exception",
            {"exception.type": kind, "exception.message": message},
            self._runtime.now_ns() if self._runtime.now_ns else None,
        )

    def __enter__(self) -> "Span":
        self.start()
        self.attach()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Literal[False]:
        self.detach()
        self.end(error)
        return False

    async def __aenter__(self) -> "Span":
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Literal[False]:
        return self.__exit__(kind, error, traceback)


def _defaults(name: str, operation: names.Operation) -> dict[str, str]:
    """What an operation says about a span by itself."""
    if not operation:
        return {}
    named = {"execute_tool": names.TOOL_NAME, "invoke_agent": names.AGENT_NAME}.get(operation)
    return {names.OPERATION: operation, named: name} if named else {names.OPERATION: operation}


def _qualified_name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
