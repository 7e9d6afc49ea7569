"""What a call and each of its attempts have used and cost."""

from dataclasses import fields, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache

from spanwell.pieces import pieces_usd
from spanwell.pricing import Usage, cost_usd
from spanwell_proxy.apis.api import Document, Reader
from spanwell_proxy.apis.usage import estimate_usage, find_tier, read_service_tier
from spanwell_proxy.call import Attempt, Call
from spanwell_proxy.config.routes import Deployment

COUNTS = tuple(field.name for field in fields(Usage))


def account(call: Call, deployment: Deployment) -> None:
    """Tokens as the backend reported them, else guessed and marked so; and what they cost."""
    reader, document = call.reader, call.document
    reported = reader.usage if reader else call.api.usage(document) if document else None
    call.usage, call.usage_estimated = _complete(call, reported, reader)
    answer = document or {}
    answered, tier = (reader.model, reader.service_tier) if reader else (answer.get("model"), find_tier(answer))
    call.service_tier = read_service_tier(tier, call.request.get("service_tier"))
    began = _began(call)
    call.price = deployment.find_price(began, str(answered or ""))
    if call.price:
        call.cost_usd = cost_usd(call.usage, call.price, service_tier=call.service_tier, at=began)
    if call.api.pieces and not call.cost_usd:
        _charge_pieces(call, deployment, (reader.document() if reader else document) or {})


def _charge_pieces(call: Call, deployment: Deployment, answer: Document) -> None:
    """A model that is paid for by the token is not paid for by the piece too."""
    if call.api.pieces is None:
        return
    rates = deployment.piece_rates
    usd = pieces_usd(call.api.pieces(call.request, answer), rates)
    call.cost_usd = call.cost_usd if usd is None else usd
    if call.api.guessed and not call.api.guessed(answer).isdisjoint(rates):
        call.usage_estimated = True


def charge(call: Call, tried: Attempt) -> None:
    """The attempt that answered, or that the client left: the call has cost that, and what others had used before."""
    account(call, tried.deployment)
    tried.usage, tried.usage_estimated, tried.cost_usd = call.usage, call.usage_estimated, call.cost_usd
    _add_others(call, tried)


def charge_lost(call: Call, tried: Attempt, reader: Reader | None, *, guess: bool = False) -> None:
    """An attempt that did not answer. It has cost what its backend reported; nothing else, unless told to `guess`."""
    reported = reader.usage if reader else None
    if tried.usage or (reported is None and not guess):  # charged before: its answer was whole, and refused
        return
    tried.usage, tried.usage_estimated = _complete(call, reported, reader)
    began = _began(call)
    if price := tried.deployment.find_price(began, reader.model if reader else ""):
        call.price = call.price or price
        tier = read_service_tier(reader.service_tier if reader else None, call.request.get("service_tier"))
        tried.cost_usd = cost_usd(tried.usage, price, service_tier=tier, at=began)


def sum_up(call: Call) -> None:
    """Nobody answered: the call has cost what its attempts did."""
    call.usage = call.cost_usd = None
    _add_others(call, None)


def _complete(call: Call, reported: Usage | None, reader: Reader | None) -> tuple[Usage, bool]:
    chunks = reader.content_chunks if reader else 0
    if reported is None:
        is_silent = call.api.max_tokens(call.request) == 0  # vectors and verdicts are not made of tokens
        return estimate_usage(call.text_bytes, chunks, 0 if is_silent else len(call.answer)), True
    if reader and reader.usage_is_partial:
        return replace(reported, output=max(reported.output, chunks)), True
    return reported, False


def _add_others(call: Call, tried: Attempt | None) -> None:
    for other in call.attempts:
        if other is tried or other.usage is None:
            continue
        call.usage = _add(call.usage, other.usage) if call.usage else other.usage
        call.usage_estimated |= other.usage_estimated
        if other.cost_usd is not None:
            call.cost_usd = (call.cost_usd or Decimal(0)) + other.cost_usd


def _add(one: Usage, other: Usage) -> Usage:
    return Usage(**{name: getattr(one, name) + getattr(other, name) for name in COUNTS})


def _began(call: Call) -> datetime:
    return _at(call.started_ns // 10**9)


@lru_cache(8)
def _at(second: int) -> datetime:
    """Prices change by the hour: to the second is exact enough, and many calls begin in one."""
    return datetime.fromtimestamp(second, UTC)
