"""One call's way through the deployments of one model name: its attempts, one after another or side by side."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from spanwell_proxy.apis.events import EventReader
from spanwell_proxy.call import Attempt, Call, Why
from spanwell_proxy.config.routes import Routes
from spanwell_proxy.failures import ApiError
from spanwell_proxy.limits.limiter import Limiter
from spanwell_proxy.limits.steps import reserve_attempt
from spanwell_proxy.routing.choosing import Decision, Policy, choose, draw_roll
from spanwell_proxy.routing.facts import Candidate
from spanwell_proxy.routing.load import ANSWERED, hear_load
from spanwell_proxy.routing.narrowing import leave_out
from spanwell_proxy.routing.prefix import MASK, SPREAD
from spanwell_proxy.routing.repeating import acts
from spanwell_proxy.upstream.accounting import charge_lost
from spanwell_proxy.upstream.admission import find_room
from spanwell_proxy.upstream.client import Client
from spanwell_proxy.upstream.continuing import can_continue
from spanwell_proxy.upstream.fetching import Arrival, Order, be_patient, fetch
from spanwell_proxy.upstream.ordering import write_continuation, write_order
from spanwell_proxy.upstream.refusals import classify, is_faulty
from spanwell_proxy.upstream.relay import relay
from spanwell_proxy.upstream.settings import Knobs
from spanwell_proxy.upstream.traffic import Traffic

LEAST_LEFT_S = 0.001
NO_BACKEND: Final = "no_backend"
DRAINED_S: Final = 5.0  # when to ask again


class Backends(Protocol):
    """What an attempt needs of the gateway."""

    @property
    def routes(self) -> Routes: ...

    @property
    def find_group(self) -> Callable[[str], tuple[Candidate, ...]]: ...

    @property
    def find_policy(self) -> Callable[[str], Policy]: ...

    @property
    def client(self) -> Client: ...

    @property
    def traffic(self) -> Traffic: ...

    @property
    def limits(self) -> Limiter: ...


class Try(NamedTuple):
    """An attempt under way."""

    tried: Attempt
    decision: Decision
    knobs: Knobs
    probe: bool


class Course:
    """`used` are the deployments that were asked already. Raises ApiError 403 where none may answer."""

    def __init__(self, call: Call, model: str, gateway: Backends) -> None:
        group = gateway.find_group(model)
        if call.pinned:
            group = tuple(one for one in group if one.deployment.id == call.pinned) or group
        policy = gateway.find_policy(model)
        if len(group) > 1:  # of all, once: who is busy now may be the only one that may answer
            group = tuple(leave_out(group, call.asked, policy))
        self.call = call
        self.model = model
        self.gateway = gateway
        self.used: list[str] = []
        self._group = group
        self._policy = policy
        _, self._knobs, self._limits, deadline_s = gateway.traffic.line_up(model, group)
        self._ends_at = call.started + deadline_s

    @property
    def has_another(self) -> bool:
        """A deployment that was not asked yet."""
        return len(set(self.used)) < len(self._group)

    @property
    def left_s(self) -> float:
        """Of the call's own time."""
        return self._ends_at - time.perf_counter()

    def roll(self) -> float:
        return draw_roll(self.call.span_id, len(self.call.attempts))

    def can_continue(self) -> bool:
        """Whether some deployment may go on with what was said."""
        reader = self.call.reader
        if not isinstance(reader, EventReader) or self.left_s <= 0:
            return False
        return bool(self._continuing()) and can_continue(self.call.api, self.call.request, reader.document())

    async def attempt(self, why: Why) -> ApiError | None:
        """One attempt, and its hedge. What went wrong is returned; `call.replied` tells whether the client saw it."""
        call = self.call
        if self.left_s <= 0:
            return self._last_failure()
        if call.attempts and not await self._may_cost_more(at_once=False):
            return self._last_failure()
        if all(one.facts.is_drained for one in self._group):
            told = f"every backend of the model {self.model!r} is drained"
            return ApiError(503, NO_BACKEND, told, retryable=True, retry_after_s=DRAINED_S)
        try:
            group = self._group if why != "continuation" else self._continuing()
            if self._limits is not None:
                group = await self._admit(group)
        except ApiError as failure:
            return failure
        began = time.perf_counter()
        try:
            first = self._begin(group, why)
            started, arrival = await self._arrive(first, group)
        except ApiError as failure:
            self._note_wait(time.perf_counter() - began)
            return failure
        self._note_wait(arrival.at - began)
        if self._knobs.hedge_quantile:
            # From the first on, whoever won: were the slow ones left out, ever more would count as slow.
            self.gateway.traffic.note(self.model, arrival.at - began)
        call.decision, call.deployment = started.decision, started.tried.deployment
        return await self._relay(started, arrival)

    async def _arrive(self, first: Try, group: Sequence[Candidate]) -> tuple[Try, Arrival]:
        after_s = None
        if first.tried.why != "continuation" and (self._knobs.hedge_s or self._knobs.hedge_quantile):
            after_s = self.gateway.traffic.hedge_after_s(self.model, self._knobs) if may_hedge(self.call) else None
        if after_s is None:
            return first, await self._fetch(first)
        return await self._race(first, group, after_s)

    async def _race(self, first: Try, group: Sequence[Candidate], after_s: float) -> tuple[Try, Arrival]:
        """The first answer wins. Who failed loses, as long as the other may still answer."""
        racing = {asyncio.create_task(self._fetch(first)): first}
        lost: BaseException | None = None
        try:
            await asyncio.wait(racing, timeout=after_s)
            others = [one for one in group if one.deployment.id not in self.used and self._has_room(one)]
            if others and not any(task.done() for task in racing) and await self._may_cost_more(at_once=True):
                second = self._begin(others, "hedge")
                racing[asyncio.create_task(self._fetch(second))] = second
            while racing:
                done, _ = await asyncio.wait(racing, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    started = racing.pop(task)
                    if (lost := task.exception()) is None:
                        return started, task.result()
        finally:
            await self._call_off(racing)
        raise lost or _late(self.model)

    def _last_failure(self) -> ApiError:
        """What became of those before; one that lost a race has no failure of its own."""
        return next((one.failure for one in reversed(self.call.attempts) if one.failure), _late(self.model))

    async def _may_cost_more(self, *, at_once: bool) -> bool:
        """Whether there is budget for another attempt, besides those that have used or may still use theirs."""
        limited = self.call.limited
        if limited is None:
            return True
        used_up = sum(one.usage is not None or not one.ended for one in self.call.attempts)
        return used_up < limited.attempts or await reserve_attempt(limited, self.gateway.limits, at_once=at_once)

    async def _call_off(self, racing: dict[asyncio.Task[Arrival], Try]) -> None:
        for task in racing:
            task.cancel()
        await asyncio.gather(*racing, return_exceptions=True)
        for task, started in racing.items():
            if task.cancelled():
                charge_lost(self.call, started.tried, None, guess=True)
            elif task.exception() is None:  # it arrived at the very moment
                arrival = task.result()
                if arrival.reader:  # a whole answer has given its connection back, and another call may have it
                    arrival.answer.close()
                self._end(started, None)
                charge_lost(self.call, started.tried, arrival.reader, guess=True)

    async def _admit(self, group: Sequence[Candidate]) -> Sequence[Candidate]:
        """Those that take an attempt now, waited for where none does. Raises ApiError 429."""
        admission, now = self.gateway.traffic.admission, time.monotonic
        knobs = self._knobs._replace(max_wait_s=min(self._knobs.max_wait_s, self.left_s))
        limits = [self.gateway.traffic.find(self.model, one.deployment).concurrency for one in group]

        def has_room() -> bool:
            if knobs.concurrency is not None and admission.count(self.model) >= knobs.concurrency:
                return False
            return bool(find_room(group, limits, now()))

        busy_s = min((one.facts.latency_s(stream=False) for one in group), default=0.0)
        began = time.perf_counter()
        try:
            await admission.wait(self.model, knobs, has_room, busy_s)
        finally:
            waited_s = time.perf_counter() - began
            self.call.queue_wait_s += waited_s
            self.call.waited_s += waited_s
        return find_room(group, limits, now()) or group

    def _begin(self, group: Sequence[Candidate], why: Why) -> Try:
        """Choose, and take a place: nothing is awaited between that there is room and that it is taken."""
        call = self.call
        roll = self.roll() if len(group) > 1 else 0.0
        decision = choose(group, call.asked, self._policy, self.used, time.monotonic(), roll)
        deployment, facts, _ = decision.candidate
        tried = Attempt(deployment, why, _name_span(call), time.perf_counter())
        call.decision, call.deployment = decision, deployment
        call.attempts.append(tried)
        self.used.append(deployment.id)
        knobs = self.gateway.traffic.find(self.model, deployment)
        facts.breaker.rules = knobs.breaker
        facts.begin()
        if deployment.capacity.rpm is not None:
            facts.full_until = max(facts.full_until, facts.minute.begin(time.monotonic(), deployment.capacity.rpm))
        if self._limits is not None:
            self.gateway.traffic.admission.begin(self.model)
        return Try(tried, decision, knobs, facts.breaker.begin())

    async def _fetch(self, started: Try) -> Arrival:
        tried = started.tried
        patience = be_patient(self.call, tried.deployment, started.knobs, max(LEAST_LEFT_S, self.left_s))
        try:
            arrival = await fetch(self.call, tried, self.gateway.client, self._write(tried), patience)
        except ApiError as failure:
            self._end(started, failure)
            raise
        except BaseException:
            self._end(started, None)
            raise
        if tried.deployment.provider == "vllm":
            hear_load(started.decision.candidate.facts, arrival.answer.header(ANSWERED), time.monotonic())
        return arrival

    async def _relay(self, started: Try, arrival: Arrival) -> ApiError | None:
        call, tried = self.call, started.tried
        try:
            await relay(call, tried, arrival)
        except ApiError as failure:
            if tried.usage is None:
                charge_lost(call, tried, arrival.reader, guess=True)
            self._end(started, failure)
            return failure
        except BaseException:
            self._end(started, None)
            raise
        self._end(started, None, went_well=True)
        return None

    def _write(self, tried: Attempt) -> Order:
        reader = self.call.reader
        if tried.why == "continuation" and isinstance(reader, EventReader) and (said := reader.document()):
            self.call.continued = True
            return write_continuation(self.call, tried.deployment, reader, said)
        return write_order(self.call, tried.deployment)

    def _end(self, started: Try, failure: ApiError | None, *, went_well: bool = False) -> None:
        """Give the place back, and tell routing how it went; neither well nor badly where it was called off."""
        tried, facts, now = started.tried, started.decision.candidate.facts, time.monotonic()
        tried.ended, tried.failure = tried.ended or time.perf_counter(), failure
        elapsed_s = tried.ttft_s if tried.ttft_s is not None else tried.ended - tried.started
        if failure is None and not went_well:
            facts.breaker.drop(probe=started.probe)
            facts.end(now, None, stream=self.call.stream, failed=False)
        elif failure is not None and is_faulty(failure):
            most = self.gateway.routes.cooling.allowed_by_class.get(classify(failure))
            facts.breaker.fail(now, failure.retry_after_s, probe=started.probe, most=most)
            facts.end(now, elapsed_s, stream=self.call.stream, failed=True)
        else:
            facts.breaker.succeed(now, probe=started.probe)
            facts.end(now, elapsed_s, stream=self.call.stream, failed=False)
            if tried.usage:
                facts.note_usage(now, tried.usage.input, tried.usage.output)
                if (tpm := tried.deployment.capacity.tpm) is not None:
                    tokens = tried.usage.input + tried.usage.output
                    facts.full_until = max(facts.full_until, facts.minute.use(now, tokens, tpm))
        if self._limits is not None:
            self.gateway.traffic.admission.end(self.model)
        self.gateway.traffic.admission.wake()

    def _continuing(self) -> Sequence[Candidate]:
        find = self.gateway.traffic.find
        return [one for one in self._group if find(self.model, one.deployment).continuation]

    def _has_room(self, candidate: Candidate) -> bool:
        if self._limits is None:
            return candidate.facts.is_ready(time.monotonic())
        limit = self.gateway.traffic.find(self.model, candidate.deployment).concurrency
        return bool(find_room([candidate], [limit], time.monotonic())) and candidate.facts.is_ready(time.monotonic())

    def _note_wait(self, waited_s: float) -> None:
        self.call.waited_s += waited_s
        self.call.upstream_s += waited_s


def may_hedge(call: Call) -> bool:
    """Whether asking twice does no harm: nothing is stored or done at the backend, and nothing dear is made."""
    cheap = call.api.operation in ("chat", "text_completion", "embeddings", "rerank", "moderation")
    return cheap and not call.request.get("store", call.api.name == "responses") and not acts(call.request)


def _name_span(call: Call) -> bytes:
    """From the call's own id, which is random: the kernel's numbers cost more than the rest of an attempt's start."""
    named = int.from_bytes(call.span_id) - (len(call.attempts) + 1) * SPREAD & MASK
    return (named or 1).to_bytes(8)


def _late(model: str) -> ApiError:
    return ApiError(504, "upstream_timeout", f"no deployment of {model!r} answered in the time a call has")
