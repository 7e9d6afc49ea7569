"""The cache's part in a call's life: an answer that is there already, and keeping the one that came."""

import asyncio
import time
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Final, Protocol

from spanwell_proxy.caches.control import Control, not_cached, read_control
from spanwell_proxy.caches.entry import Entry, make_entry
from spanwell_proxy.caches.exact import Cache, cache_key, find_realm, name_realm
from spanwell_proxy.call import Call
from spanwell_proxy.config.routes import Deployment
from spanwell_proxy.replies import EVENT_STREAM, reply
from spanwell_proxy.routing.policy import Policy

LONGEST_WAIT_S: Final = 60.0  # for a call that fetches the same: its client may read a stream slowly


class Deployed(Protocol):
    """What this needs of a candidate."""

    @property
    def deployment(self) -> Deployment: ...


class Caching(Protocol):
    """What this needs of the gateway."""

    @property
    def cache(self) -> Cache | None: ...

    @property
    def find_group(self) -> Callable[[str], Iterable[Deployed]]: ...

    @property
    def find_policy(self) -> Callable[[str], Policy]: ...


async def look_in_cache(call: Call, gateway: Caching) -> None:
    """Answer from the cache if it can; if another call is fetching this very answer, wait for that one, once."""
    cache, is_cacheable = gateway.cache, call.api.is_cacheable
    if cache is None or is_cacheable is None or not is_cacheable(call.request):
        return
    if call.copied:  # a copy is there to try an arm
        return
    control = read_control(call.headers, call.request, opt_in=cache.settings.opt_in)
    if not (control.reads or control.keeps or control.insists):
        return
    realm = find_realm(call, cache.settings.scope, control.namespace, gateway.find_policy(call.target))
    call.cache_key, call.cache_ttl_s = cache_key(call.api.name, realm, call.request), control.ttl_s
    if control.reads and (entry := await _find(call, cache, control)):
        call.cache_type = "exact"
        await answer_from(call, entry, gateway)
        return
    # Who waited in vain does not wait again: an answer that cannot be kept must not put its askers in a row.
    if control.keeps and call.cache_key not in cache.flights:
        call.leads = True
        cache.flights[call.cache_key] = []
    if control.reads and cache.meanings and _may_be_alike(call):
        entry = await cache.meanings.find(call, name_realm(realm))
        if entry and _is_fresh(entry, control):
            call.cache_type = "semantic"
            await answer_from(call, entry, gateway)
            cache.meanings.look_over(call)
            return
    call.cache = "miss"
    if control.insists:
        raise not_cached()


async def _find(call: Call, cache: Cache, control: Control) -> Entry | None:
    entry = await cache.shelf.get(call.cache_key, time.time())
    if entry and _is_fresh(entry, control):
        return entry
    waiting = cache.flights.get(call.cache_key)
    if waiting is None:
        return None
    began, landed = time.perf_counter(), asyncio.get_running_loop().create_future()
    waiting.append(landed)
    await asyncio.wait((landed,), timeout=LONGEST_WAIT_S)
    call.waited_s += time.perf_counter() - began
    entry = await cache.shelf.get(call.cache_key, time.time())
    return entry if entry and _is_fresh(entry, control) else None


def _may_be_alike(call: Call) -> bool:
    """Placeholders stand for values of this call alone, and a guard's or a judge's verdict is on this text alone."""
    return not call.purpose and not (call.guarded and call.guarded.placeholders)


def _is_fresh(entry: Entry, control: Control) -> bool:
    return control.max_age_s is None or time.time() - entry.stored_at <= control.max_age_s


async def answer_from(call: Call, entry: Entry, gateway: Caching) -> None:
    """Give the client a kept answer, whole or as the stream it asked for."""
    if call.guarded and call.guarded.wait:
        await call.guarded.wait()
    call.cache, call.cache_matched, call.saved_ms = "hit", entry.trace_id, entry.took_ms
    members = (one.deployment for one in gateway.find_group(entry.served))
    call.deployment = next((member for member in members if member.id == entry.deployment), None)
    call.document, call.answer = call.api.read(entry.body), entry.body
    call.usage, call.cost_usd, call.saved_usd = call.api.usage(call.document), Decimal(0), entry.cost_usd
    age = (b"age", b"%d" % max(0, time.time() - entry.stored_at))
    if call.stream and call.api.as_stream:
        call.ttft_s, call.stream_end = time.perf_counter() - call.started, "done"
        await reply(call, 200, call.api.as_stream(call.document, call.request), EVENT_STREAM, age)
    else:
        await reply(call, 200, entry.body, b"application/json", age)


def keep_answer(call: Call, cache: Cache) -> None:
    """Keep what a leading call was answered with, and let those go on that waited for it. Never waits."""
    if not call.leads:
        return
    try:
        entry = None if call.cache == "hit" else make_entry(call, time.time(), _choose_ttl_s(call, cache))
        if entry:
            cache.shelf.put(call.cache_key, entry)
            if cache.meanings:
                cache.meanings.keep(call, entry.expires_at)
    finally:
        for landed in cache.flights.pop(call.cache_key):
            landed.set_result(None)


def _choose_ttl_s(call: Call, cache: Cache) -> float:
    """The request's own word on it, but what others share nobody keeps for longer than the operator said."""
    usual = cache.settings.ttl_s
    if call.cache_ttl_s is None:
        return usual
    return call.cache_ttl_s if cache.settings.scope == "key" else min(call.cache_ttl_s, usual)
