"""`@trace`: a span around every call of a function, plain, async, generator or async generator."""

import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from functools import wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast, overload

from spanwell.conventions import Operation
from spanwell.errors import shielded
from spanwell.payload import Stream, to_text
from spanwell.spans import Span

P = ParamSpec("P")
R = TypeVar("R")

RECEIVERS = ("self", "cls")


class Recipe(NamedTuple):
    """What is known of a traced function before it is called."""

    name: str
    operation: Operation
    parameters: tuple[str, ...]  # positional ones, in order
    rest: str  # name of *args
    takes_input: bool
    takes_output: bool


@overload
def trace(function: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def trace(
    *, name: str = "", operation: Operation = "", capture_input: bool = True, capture_output: bool = True
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def trace(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str = "",
    operation: Operation = "",
    capture_input: bool = True,
    capture_output: bool = True,
) -> Callable[P, R] | Callable[[Callable[P, R]], Callable[P, R]]:
    """Trace every call of a function: `@trace`, or `@trace(operation="retrieval")`.

    The span is named after the function unless `name` is given. Arguments are stored by name and the result beside
    them, both as JSON text, bounded, with secrets masked; `self` and `cls` are left out. A generator's span lasts from
    its first item to its last and stores the items; strings are joined. The function's signature, its result and its
    exceptions stay as they are.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        if not callable(function) or inspect.isclass(function):
            raise TypeError("spanwell.trace decorates functions; with @classmethod or @property, put it below them")
        return _wrap(function, _prepare(function, name, operation, capture_input, capture_output))

    return decorate if function is None else decorate(function)


def _prepare(function: Callable[..., Any], name: str, operation: Operation, inputs: bool, outputs: bool) -> Recipe:
    parameters = list(inspect.signature(function).parameters.values())
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = [p.name for p in parameters if p.kind is p.VAR_POSITIONAL]
    default = getattr(function, "__qualname__", type(function).__qualname__).rpartition("<locals>.")[2]
    return Recipe(name or default, operation, tuple(positional), rest[0] if rest else "args", inputs, outputs)


def _wrap(function: Callable[P, R], recipe: Recipe) -> Callable[P, R]:
    wrapper: Callable[..., Any]
    if inspect.isasyncgenfunction(function):
        wrapper = _async_generator(function, recipe)
    elif inspect.isgeneratorfunction(function):
        wrapper = _generator(function, recipe)
    elif inspect.iscoroutinefunction(function):
        wrapper = _coroutine(function, recipe)
    else:
        wrapper = _function(function, recipe)
    return cast(Callable[P, R], wrapper)


def _function(function: Callable[..., Any], recipe: Recipe) -> Callable[..., Any]:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        span = _start(recipe, args, kwargs)
        span.attach()
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            span.detach()
            span.end(error)
            raise
        span.detach()
        _end(span, recipe, result)
        return result

    return call


def _coroutine(function: Callable[..., Any], recipe: Recipe) -> Callable[..., Any]:
    @wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        span = _start(recipe, args, kwargs)
        span.attach()
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            span.detach()
            span.end(error)
            raise
        span.detach()
        _end(span, recipe, result)
        return result

    return call


def _generator(function: Callable[..., Any], recipe: Recipe) -> Callable[..., Any]:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        span, items = _start(recipe, args, kwargs), Stream()
        generator = function(*args, **kwargs)
        step, value = generator.send, None
        try:
            while True:
                with span.active():
                    item = step(value)
                _add(items, item)
                try:
                    step, value = generator.send, (yield item)
                except GeneratorExit:
                    with span.active():
                        generator.close()
                    raise
                except BaseException as thrown:  # noqa: BLE001 - what the caller throws in is the function's to handle
                    step, value = generator.throw, thrown
        except StopIteration as stop:
            _end_stream(span, recipe, items)
            return stop.value
        except BaseException as error:
            _end_stream(span, recipe, items, error)
            raise

    return call


def _async_generator(function: Callable[..., Any], recipe: Recipe) -> Callable[..., Any]:
    @wraps(function)
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        span, items = _start(recipe, args, kwargs), Stream()
        generator = function(*args, **kwargs)
        step, value = generator.asend, None
        try:
            while True:
                with span.active():
                    item = await step(value)
                _add(items, item)
                try:
                    step, value = generator.asend, (yield item)
                except GeneratorExit:
                    with span.active():
                        await generator.aclose()
                    raise
                except BaseException as thrown:  # noqa: BLE001 - what the caller throws in is the function's to handle
                    step, value = generator.athrow, thrown
        except StopAsyncIteration:
            _end_stream(span, recipe, items)
        except BaseException as error:
            _end_stream(span, recipe, items, error)
            raise

    return call


def _start(recipe: Recipe, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Span:
    span = Span(recipe.name, recipe.operation, {})
    span.start()
    if recipe.takes_input and span.takes_content:
        with shielded("store arguments"):
            span.set_text("input", to_text(_by_name(recipe, args, kwargs)))
    return span


def _end(span: Span, recipe: Recipe, result: object) -> None:
    if recipe.takes_output and span.takes_content:
        with shielded("store a result"):
            span.set_text("output", to_text(result))
    span.end()


def _end_stream(span: Span, recipe: Recipe, items: Stream, error: BaseException | None = None) -> None:
    if recipe.takes_output and span.takes_content:
        with shielded("store a stream"):
            span.set_text("output", items.to_text())
    span.end(error)


def _add(items: Stream, item: object) -> None:
    with shielded("store an item"):
        items.add(item)


def _by_name(recipe: Recipe, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments that were passed, by name; what did not fit the positional ones goes under `*args`' own name."""
    named = dict(zip(recipe.parameters, args, strict=False))
    if len(args) > len(recipe.parameters):
        named[recipe.rest] = args[len(recipe.parameters) :]
    if recipe.parameters and recipe.parameters[0] in RECEIVERS:
        named.pop(recipe.parameters[0], None)
    return {**named, **kwargs}
