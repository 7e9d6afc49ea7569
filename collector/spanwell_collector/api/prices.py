"""The routes of prices: what models cost, which have none, and pricing history anew."""

from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import Field

from spanwell.config import load_config
from spanwell.errors import ConfigError
from spanwell.pricing import load_price_table
from spanwell.settings import Settings
from spanwell_collector.access.registrar import Registrar
from spanwell_collector.access.scope import identity_of
from spanwell_collector.api.answers import answer_error, answer_json
from spanwell_collector.api.params import Moment, Window
from spanwell_collector.prices.pools import Pool, read_pools
from spanwell_collector.prices.questions import list_billed, list_prices, list_unpriced
from spanwell_collector.prices.reprice import Reprice, reprice
from spanwell_collector.prices.spreading import SETTLED, spread_window
from spanwell_collector.prices.table import bring_up_to_date
from spanwell_collector.store.client import Store


class PricesQuestion(Window):
    """Prices are the same for all projects: a project is only what a token may be bound to."""

    model: Annotated[str, Field(max_length=500)] = ""
    provider: Annotated[str, Field(max_length=200)] = ""
    at: Annotated[Moment | None, Field(description="default: now")] = None
    history: Annotated[bool, Field(description="also what does not hold any more, or not yet")] = False
    limit: Annotated[int, Field(ge=1, le=20_000)] = 1000


class RepriceQuestion(Window):
    model: Annotated[str, Field(max_length=500, description="default: all")] = ""
    reported: Annotated[bool, Field(description="also calls that came with a cost of their own")] = False
    dry_run: bool = False


def build_price_routes(settings: Settings, store: Store, registrar: Registrar) -> APIRouter:
    """GET what holds, POST to change it."""
    routes = APIRouter(prefix="/api/v1/prices", tags=["prices"])
    _add_questions(routes, settings.project, store)

    @routes.post("/reload")
    def reload_prices(request: Request) -> Response:
        """Read LiteLLM's map and the configuration file again; calls from now on cost what they say."""
        try:
            changed = bring_up_to_date(store, load_price_table(), load_config(settings.config), datetime.now(UTC))
        except ConfigError as error:
            return answer_error(400, str(error), field="prices")
        registrar.note(identity_of(request.scope), "prices reload", f"{changed} changed", "")
        return answer_json({"changed": changed})

    @routes.post("/reprice")
    def reprice_calls(request: Request, asked: Annotated[RepriceQuestion, Query()]) -> Response:
        """Price a window anew and answer when that is done. A day at a time keeps the answers short."""
        now = datetime.now(UTC)
        chosen = asked.select(settings.project, now)
        wanted = Reprice(chosen.project, chosen.start, chosen.end, asked.model, asked.reported, asked.dry_run)
        try:
            pools = _list_pools(settings, wanted)
        except ConfigError as error:
            return answer_error(400, str(error), field="gpu_hours")
        with closing(store.beside()) as own:  # so that no insert waits
            outcome = reprice(own, wanted)
            if not asked.dry_run:
                spread_window(own, pools, wanted.start, min(wanted.end, now - SETTLED))
        if not asked.dry_run:
            window = f"{chosen.project} {chosen.start:%Y-%m-%d %H:%M} to {chosen.end:%Y-%m-%d %H:%M}"
            registrar.note(identity_of(request.scope), "reprice", window, f"{outcome.changed} calls")
        return answer_json(_show(outcome._asdict()))

    return routes


def _add_questions(routes: APIRouter, project: str, store: Store) -> None:
    @routes.get("")
    def get_prices(asked: Annotated[PricesQuestion, Query()]) -> Response:
        """The price of each model, as cards of US dollars a token by kind."""
        at = asked.at or datetime.now(UTC)
        only: dict[str, Any] = {"model": asked.model, "provider": asked.provider, "history": asked.history}
        rows = list_prices(store, at, **only, limit=asked.limit)
        return answer_json({"rows": [_show_cards(row) for row in rows.to_pylist()]})

    @routes.get("/unpriced")
    def get_unpriced(asked: Annotated[Window, Query()]) -> Response:
        """Models of calls that have no cost, with calls, tokens and names that look alike."""
        return answer_json({"rows": list_unpriced(store, asked.select(project, datetime.now(UTC)))})

    @routes.get("/billed")
    def get_billed(asked: Annotated[Window, Query()]) -> Response:
        """Calls, tokens and US dollars by kind, as a provider bills them: by day, provider, model and key."""
        rows = list_billed(store, asked.select(project, datetime.now(UTC)))
        return answer_json({"rows": [{**_show(row), "costs": _show(row["costs"])} for row in rows]})


def _list_pools(settings: Settings, wanted: Reprice) -> list[Pool]:
    pools = read_pools(load_config(settings.config), settings.project)
    return [pool for pool in pools if pool.project == wanted.project and wanted.model in ("", pool.model)]


def _show_cards(row: dict[str, Any]) -> dict[str, Any]:
    cards = [{**card, "rates": _show(dict(card["rates"]))} for card in row["cards"]]
    return {**row, "cards": cards}


def _show(values: dict[str, Any]) -> dict[str, Any]:
    """Money as text: a number of JSON would lose its last digits."""
    return {name: format(value, "f") if isinstance(value, Decimal) else value for name, value in values.items()}
