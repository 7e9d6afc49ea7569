"""Puts the semantic cache together. Imported only where it is configured: numpy is memory of every worker."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from spanwell_proxy.apis.paths import find_api
from spanwell_proxy.caches.semantic.embedders import Embedder, EndpointEmbedder, HashingEmbedder, MiniLmEmbedder
from spanwell_proxy.caches.semantic.log import QuestionLog, RedisLog, SqliteLog
from spanwell_proxy.caches.semantic.meanings import Meanings
from spanwell_proxy.caches.semantic.opinions import NO_STORE, OURSELVES, Opinions
from spanwell_proxy.caches.semantic.settings import SemanticSettings
from spanwell_proxy.caches.shelf import Shelf
from spanwell_proxy.orders import Answered, Order

Ask = Callable[[Order], Awaitable[Answered]]


def open_meanings(settings: SemanticSettings, shelf: Shelf, ask: Ask, *, folder: Path, redis_url: str) -> Meanings:
    """`ask` makes calls of the proxy's own; the log lies in `folder`, or in Redis. Raises ConfigError."""
    log: QuestionLog = (
        RedisLog(redis_url, settings.max_entries)
        if redis_url
        else SqliteLog(folder / "questions.db", settings.max_entries)
    )
    return Meanings(settings, shelf, _choose(settings, ask), log, Opinions(ask, settings.judge).compare)


def _choose(settings: SemanticSettings, ask: Ask) -> Embedder:
    kind, value = settings.embedder
    if kind == "minilm":
        return MiniLmEmbedder(Path(value))
    return EndpointEmbedder(value, _fetch_by(ask)) if kind == "endpoint" else HashingEmbedder()


def _fetch_by(ask: Ask) -> Callable[[bytes], Awaitable[bytes]]:
    api = find_api("/v1/embeddings")
    assert api is not None

    async def fetch(body: bytes) -> bytes:
        answered = await ask(Order(api, body, OURSELVES, "cache-embedding", headers=NO_STORE))
        if answered.status != 200:
            raise ValueError(f"the embedding model answered {answered.status}")
        return answered.body

    return fetch
