"""The administrator's routes for what the engine refused: look at it, send it again, drop it."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from spanwell.errors import QueryError
from spanwell_collector.api.answers import answer_error, answer_json, answer_rows
from spanwell_collector.ingest.dead import drop_letter, get_letter, list_letters
from spanwell_collector.ingest.reading import to_plain
from spanwell_collector.ingest.sink import Sink
from spanwell_collector.store.client import Store

MOST_LISTED: Final = 1000
LetterId = Annotated[str, Path(pattern="^[0-9a-f]{16}$")]


def build_dead_letter_routes(store: Store, sink: Sink) -> APIRouter:
    """List, show, replay and drop."""
    routes = APIRouter(prefix="/api/v1/dead-letters", tags=["dead letters"])
    _add_reading(routes, store)
    _add_changes(routes, store, sink)
    return routes


def _add_reading(routes: APIRouter, store: Store) -> None:
    @routes.get("")
    def list_dead_letters(
        request: Request,
        project: Annotated[str, Query(max_length=200, description="empty means all")] = "",
        limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 100,
    ) -> Response:
        """Records that the engine refused for good, newest first, without their payloads."""
        return answer_rows(request, list_letters(store, project, limit=limit))

    @routes.get("/{letter_id}")
    def get_dead_letter(letter_id: LetterId) -> Response:
        """One of them with what it holds."""
        letter = get_letter(store, letter_id)
        if letter is None:
            return _answer_missing(letter_id)
        return answer_json(letter._asdict() | {"payload": to_plain(letter.payload)})


def _add_changes(routes: APIRouter, store: Store, sink: Sink) -> None:
    @routes.post("/{letter_id}/replay")
    def replay_dead_letter(letter_id: LetterId) -> Response:
        """Try to store it again; 409 with the reason when it is refused again."""
        try:
            found = sink.replay(letter_id)
        except QueryError as error:
            return answer_error(409, str(error), field="id")
        return answer_json({"stored": letter_id}) if found else _answer_missing(letter_id)

    @routes.delete("/{letter_id}")
    def drop_dead_letter(letter_id: LetterId) -> Response:
        """Forget it for good."""
        letter = get_letter(store, letter_id)
        if letter is None:
            return _answer_missing(letter_id)
        drop_letter(store, letter)
        return answer_json({"dropped": letter_id})


def _answer_missing(letter_id: str) -> Response:
    return answer_error(404, f"there is no dead letter {letter_id}", field="id")
