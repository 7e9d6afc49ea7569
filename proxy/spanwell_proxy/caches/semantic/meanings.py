"""Finds the answer to a question that was asked in other words, and has a share of what it finds looked over."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson

from spanwell_proxy.caches.entry import Entry
from spanwell_proxy.caches.semantic.embedders import Embedder, Vectors
from spanwell_proxy.caches.semantic.guard import find_difference
from spanwell_proxy.caches.semantic.index import Index
from spanwell_proxy.caches.semantic.log import PAGE, Asked, QuestionLog
from spanwell_proxy.caches.semantic.questions import Question, read_question
from spanwell_proxy.caches.semantic.settings import SemanticSettings
from spanwell_proxy.caches.semantic.verdicts import Verdicts
from spanwell_proxy.caches.shelf import Shelf
from spanwell_proxy.call import Call

logger = logging.getLogger(__name__)

ALPHA: Final = 0.05  # chance to stop a model's hits though they are wrong no more often than allowed
SYNC_EVERY_S: Final = 0.5
MOST_AT_ONCE: Final = 4  # second opinions; more are left out
EMBED_TIMEOUT_S: Final = 2.0  # of a question that nobody answers meanwhile
AWAY_S: Final = 5.0  # how long an embedder that failed is left alone, so that calls do not wait for it one by one
NO_REPLY: Final = (OSError, ValueError, TimeoutError)

Compare = Callable[[Call, str], Awaitable[bool | None]]  # a call, and the answer it was given: is it another one?


@dataclass(frozen=True)
class Meaning:
    """A question with its vector; a call carries it until its answer is kept."""

    question: Question
    vector: Vectors


class Meanings:
    """`compare` asks the model anyway and tells whether the answers differ; None where that cannot be said."""

    def __init__(
        self, settings: SemanticSettings, shelf: Shelf, embedder: Embedder, log: QuestionLog, compare: Compare
    ) -> None:
        self.settings = settings
        self.verdicts: dict[str, Verdicts] = {}
        self.vetoes: dict[str, int] = {}  # near misses that the guard has kept apart, by its reason
        self._shelf = shelf
        self._embedder = embedder
        self._log = log
        self._compare = compare
        self._index = Index(settings.max_entries)
        self._away_until = 0.0
        self._new: list[Asked] = []
        self._opinions: set[asyncio.Task[None]] = set()

    def is_off(self, model: str) -> bool:
        """Whether a model's hits were wrong too often."""
        return self.verdicts.get(model, Verdicts()).is_too_wrong(self.settings.max_false_hits, ALPHA)

    def describe(self) -> dict[str, Any]:
        """For an operator: how much is known, what the guard kept apart, and how often hits were wrong."""
        models = {}
        for model in sorted(self.settings.models):
            verdicts = self.verdicts.get(model, Verdicts())
            models[model] = {
                "checked": verdicts.checked,
                "different": verdicts.different,
                "false_hit_rate": verdicts.rate,
                "interval_95": verdicts.interval(),
                "is_off": self.is_off(model),
            }
        return {"questions": self._index.rows, "kept_apart": dict(self.vetoes), "models": models}

    async def find(self, call: Call, realm: str) -> Entry | None:
        """The answer to a question like this call's; notes on the call what it will be kept under."""
        settings = self.settings
        if call.model not in settings.models:
            return None
        # Vectors of another embedder are of another space.
        realm = "\n".join((*settings.embedder, realm))
        question = read_question(call.api.name, realm, call.request, settings.max_temperature)
        if question is None or self.is_off(call.model):
            return None
        began = time.perf_counter()
        vector = await self._embed(question.text)
        call.waited_s += time.perf_counter() - began
        if vector is None:
            return None
        call.meaning = Meaning(question, vector)
        now = time.time()
        for near in await self._index.search(question.partition, vector, now, settings.threshold):
            reason = find_difference(question.text, near.text)
            if reason:
                self.vetoes[reason] = self.vetoes.get(reason, 0) + 1
                continue
            entry = await self._shelf.get(near.key, now)
            if entry:
                call.cache_similarity = round(near.similarity, 4)
                return entry
        return None

    async def _embed(self, text: str) -> Vectors | None:
        if time.monotonic() < self._away_until:
            return None
        try:
            async with asyncio.timeout(EMBED_TIMEOUT_S):
                return np.asarray((await self._embedder.embed([text]))[0])
        except NO_REPLY as error:
            self._away_until = time.monotonic() + AWAY_S
            logger.warning("a question was not embedded: %s", type(error).__name__)
            return None

    def keep(self, call: Call, expires_at: float) -> None:
        """The call's answer is in the cache: let others find it by its meaning."""
        if not isinstance(call.meaning, Meaning):
            return
        ttl_s = self.settings.ttl_s
        expires_at = expires_at if ttl_s is None else min(expires_at, time.time() + ttl_s)
        question, vector = call.meaning.question, call.meaning.vector
        self._index.add(question.partition, vector, question.text, call.cache_key, expires_at)
        self._new.append(Asked(question.partition, call.cache_key, question.text, vector.tobytes(), expires_at))

    def look_over(self, call: Call) -> None:
        """Have one in so many hits asked anyway, off the path. Which ones is no client's choice, as the trace id is."""
        share = int.from_bytes(call.span_id, "big") / 2**64
        if share < self.settings.verify_sample and len(self._opinions) < MOST_AT_ONCE:
            task = asyncio.create_task(self._look_over(call))
            self._opinions.add(task)
            task.add_done_callback(self._opinions.discard)

    async def run(self) -> None:
        """Share what is new, and learn what others have found. Runs until cancelled."""
        while True:
            await self.sync()
            await asyncio.sleep(SYNC_EVERY_S)

    async def sync(self) -> None:
        new, self._new = self._new, []
        if new:
            await self._log.add(new)
        read = await self._log.read()
        while read:
            for one in read:
                vector = np.frombuffer(one.vector, dtype=np.float32)
                self._index.add(one.partition, vector, one.text, one.key, one.expires_at)
            read = await self._log.read() if len(read) == PAGE else []
        await self._read_verdicts()

    async def _read_verdicts(self) -> None:
        """What is known already holds while nobody can say: hits that are off stay off."""
        verdicts = await self._log.read_verdicts()
        self.verdicts = self.verdicts if verdicts is None else verdicts

    async def forget_verdicts(self, model: str) -> bool:
        """Switch a model's hits on again, and count anew; false where that could not be noted."""
        forgotten = await self._log.forget_verdicts(model)
        await self._read_verdicts()
        return forgotten

    async def close(self) -> None:
        for task in self._opinions:
            task.cancel()
        await asyncio.gather(*self._opinions, return_exceptions=True)
        await self.sync()
        await self._log.close()

    async def _look_over(self, call: Call) -> None:
        try:
            is_different = await self._compare(call, _read_text(call))
        except NO_REPLY as error:
            logger.warning("a hit was not looked over: %s", type(error).__name__)
            return
        await self._read_verdicts()
        if self.is_off(call.model):  # once they are off, what comes late must not switch them on again
            return
        if is_different is None:
            logger.warning("a hit of %r was not looked over: the judge gave no verdict", call.model)
            return
        await self._log.judge(call.model, is_different=is_different)
        await self._read_verdicts()
        if self.is_off(call.model):
            logger.error(
                "too many semantic hits of %r were wrong: they are off until `spanwell cache reset`", call.model
            )


def _read_text(call: Call) -> str:
    messages: Any = call.api.answered(call.document) if call.document else []
    return orjson.dumps([message.get("parts") for message in messages]).decode()
