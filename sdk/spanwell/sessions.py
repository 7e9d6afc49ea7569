"""Who is calling: user and session, carried by the OpenTelemetry context to every span inside."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import context
from opentelemetry.context import Context

from spanwell.conventions import HEADER_SESSION, HEADER_USER, SESSION_ID, USER_ID
from spanwell.payload import clean

KEY = context.create_key("spanwell-session")
HEADERS = {USER_ID: HEADER_USER, SESSION_ID: HEADER_SESSION}
MAX_ID_CHARS = 256


@contextmanager
def session(*, user_id: str | None = None, session_id: str | None = None) -> Iterator[None]:
    """Put `user.id` and `session.id` on every span that starts inside, ours and other libraries'.

    Inner sessions add to outer ones: `session(session_id=...)` inside `session(user_id=...)` keeps the user.
    """
    given = {USER_ID: user_id, SESSION_ID: session_id}
    ids = {name: clean(str(value))[:MAX_ID_CHARS] for name, value in given.items() if value is not None}
    outer = context.get_current()
    inside = context.set_value(KEY, {**attributes(), **ids})
    context.attach(inside)
    try:
        yield
    finally:
        restore(inside, outer)


def attributes(of: Context | None = None) -> Mapping[str, str]:
    """The attributes that spans of this context carry."""
    found = context.get_value(KEY, of)
    return found if isinstance(found, dict) else {}


def session_headers() -> dict[str, str]:
    """The same as request headers for the proxy; a value that no header can hold is left out."""
    return {HEADERS[name]: value for name, value in attributes().items() if value.isascii() and value.isprintable()}


def restore(inside: Context, outer: Context) -> None:
    """Go back to `outer`, unless something else is current by now: a generator may be closed from anywhere.

    A contextvar's own token would not do: it is void in every other task.
    """
    if context.get_current() is inside:
        context.attach(outer)
