"""Keeps the price table: takes over what its sources say now, and never what they said before."""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from spanwell.config import Config
from spanwell.overrides import BEGINNING
from spanwell.pricing import PriceTable
from spanwell_collector.prices.overlay import read_words
from spanwell_collector.prices.seed import read_map
from spanwell_collector.prices.terms import LITELLM, USER, Key, Terms, read_cards, write_cards
from spanwell_collector.store.client import Store

FORMAT: Final = 1  # of what is made of the sources; a higher one has them read anew
COLUMNS: Final = (
    "provider",
    "model",
    "source",
    "valid_from",
    "recorded",
    "withdrawn",
    "version",
    "mode",
    "off_peak",
    "cards",
)
LAST_UPDATE: Final = """
SELECT argMax(digest, recorded) AS digest
FROM spanwell.price_updates
WHERE source = {source:String}
"""
SAID: Final = """
SELECT
    provider, model, valid_from,
    argMax(withdrawn, recorded) AS is_withdrawn,
    argMax(mode, recorded) AS last_mode,
    argMax(off_peak, recorded) AS last_off_peak,
    argMax(cards, recorded) AS last_cards
FROM spanwell.prices
WHERE source = {source:String}
GROUP BY provider, model, valid_from
ORDER BY valid_from
"""


class Said(NamedTuple):
    """What a source says of a model from `valid_from` on; no terms: nothing any more."""

    key: Key
    valid_from: datetime
    terms: Terms | None
    version: str = ""


def bring_up_to_date(store: Store, table: PriceTable, config: Config, now: datetime) -> int:
    """Have the store price by LiteLLM's `table` and the user's `config`; how many prices that changed.

    What was read last time is known by its digest and not read again. Raises ConfigError for a price that is none.
    """
    read: list[tuple[str, str, int]] = []
    listed = _digest(table.version)
    if listed != _last_digest(store, LITELLM) and table.entries:
        read.append((LITELLM, listed, _take_over(store, LITELLM, _compare_list(store, table, now), now)))
    said = _digest(table.version, str(config.prices), str(config.model_list))
    if said != _last_digest(store, USER):
        read.append((USER, said, _take_over(store, USER, _compare_overrides(store, config), now)))
    if read:
        store.command("SYSTEM RELOAD DICTIONARY spanwell.price_cards")
        # Last of all: an update that was cut off is made again.
        store.insert("price_updates", [(*one, now) for one in read], ("source", "digest", "models", "recorded"))
    return sum(changed for _, _, changed in read)


def _compare_list(store: Store, table: PriceTable, now: datetime) -> list[Said]:
    """A model that is new has always cost what it costs; a new price of an old one holds from now on.

    One that is gone from the list keeps its price: its calls are still in the store.
    """
    held = {said.key: said for said in _read_said(store, LITELLM)}  # the latest of each, for they come in order
    return [
        Said(key, now if key in held else BEGINNING, terms, table.version)
        for key, terms in read_map(table).items()
        if key not in held or held[key].terms != terms
    ]


def _compare_overrides(store: Store, config: Config) -> list[Said]:
    """The user's file is the whole of what the user says: what is no longer in it holds no longer, at any time."""
    known = {said.key for said in _read_said(store, LITELLM)}
    wanted = {(word.key, word.valid_from): Said(*word) for word in read_words(config, known)}
    held = {(said.key, said.valid_from): said for said in _read_said(store, USER)}
    gone = [Said(*place, None) for place, said in held.items() if said.terms and place not in wanted]
    return gone + [said for place, said in wanted.items() if place not in held or held[place].terms != said.terms]


def _read_said(store: Store, source: str) -> list[Said]:
    return [_to_said(row) for row in store.query(SAID, {"source": source}).to_pylist()]


def _to_said(row: Mapping[str, Any]) -> Said:
    terms = Terms(read_cards(row["last_cards"]), tuple(row["last_off_peak"]), row["last_mode"])
    return Said(Key(row["provider"], row["model"]), row["valid_from"], None if row["is_withdrawn"] else terms)


def _take_over(store: Store, source: str, changes: list[Said], now: datetime) -> int:
    if changes:
        store.insert("prices", list(_to_rows(source, changes, now)), COLUMNS)
    return len(changes)


def _to_rows(source: str, changes: Iterable[Said], now: datetime) -> Iterable[tuple[Any, ...]]:
    for key, valid_from, terms, version in changes:
        shown = terms or Terms(())
        cards = write_cards(shown.cards)
        yield (*key, source, valid_from, now, terms is None, version, shown.mode, list(shown.off_peak), cards)


def _last_digest(store: Store, source: str) -> str:
    return str(store.query(LAST_UPDATE, {"source": source}).column("digest").to_pylist()[0])


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join((str(FORMAT), *texts)).encode()).hexdigest()
