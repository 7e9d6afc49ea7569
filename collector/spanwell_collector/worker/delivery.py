"""Sends the outbox: webhooks to their receivers, never to an address that was not checked; events to the collector."""

import asyncio
import logging
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from http.cookiejar import CookieJar, DefaultCookiePolicy
from random import SystemRandom

import httpx

from spanwell.errors import QueryError
from spanwell.masking import mask_secrets
from spanwell_collector.worker import outbox
from spanwell_collector.worker.addresses import ForbiddenAddressError, resolve
from spanwell_collector.worker.client import CollectorClient
from spanwell_collector.worker.outbox import Message
from spanwell_collector.worker.schedule import Clock, retry_after_seconds
from spanwell_collector.worker.sections import Receiver
from spanwell_collector.worker.webhook import Verdict, next_delay_seconds, signed_headers, verdict_of

SEND_SECONDS = 15.0  # for one try in all, however slowly the receiver drips
ANSWER_BYTES = 64 * 1024  # more of a receiver's answer is not read
LOGGED_CHARS = 200

logger = logging.getLogger(__name__)
random = SystemRandom()


@dataclass(frozen=True)
class Answer:
    """What came of one try: a verdict, what the receiver asked for, and words for the log."""

    verdict: Verdict
    words: str
    retry_after_seconds: float = 0.0


@dataclass(frozen=True)
class Post:
    """What messages are sent with; `http` is webhook_client's."""

    http: httpx.AsyncClient
    receivers: Mapping[str, Receiver]
    database: sqlite3.Connection
    clock: Clock


def webhook_client() -> httpx.AsyncClient:
    """No redirects, no proxy from the environment, no cookies; and no connection is kept, because one that was made
    for one name must not serve another name at the same address."""
    return httpx.AsyncClient(
        follow_redirects=False,
        trust_env=False,
        timeout=SEND_SECONDS,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        limits=httpx.Limits(max_keepalive_connections=0),
    )


async def send_due(post: Post) -> None:
    """Send what is due, all receivers at once, so that a slow one delays nobody else."""
    messages = outbox.due(post.database, post.clock())
    names = {message.receiver for message in messages}
    await asyncio.gather(
        *(_send_all([message for message in messages if message.receiver == name], post) for name in names)
    )


async def report_events(collector: CollectorClient, database: sqlite3.Connection, clock: Clock) -> None:
    """Tell the collector about each transition, and again when its delivery is settled."""
    for message_id, event in outbox.unreported(database):
        try:
            await collector.store("/alerts/events", event)
        except QueryError as error:  # it will never be taken, and must not hold up the others
            logger.error("alert event %s is not stored: %s", message_id, error)
        outbox.mark_reported(database, message_id, event["delivery"], clock())


async def _send_all(messages: list[Message], post: Post) -> None:
    for message in messages:
        receiver = post.receivers.get(message.receiver)
        if receiver is None or outbox.is_disabled(post.database, receiver.url.get_secret_value()):
            answer = Answer("refused", "the receiver is not configured any more, or has answered 410 before")
        else:
            answer = await _try(message, receiver, post)
        _settle(message, receiver, answer, post)


def _settle(message: Message, receiver: Receiver | None, answer: Answer, post: Post) -> None:
    words = mask_secrets(answer.words)[:LOGGED_CHARS]
    if answer.verdict == "delivered":
        outbox.settle(post.database, message.message_id, "delivered")
        return
    if answer.verdict == "gone" and receiver is not None:
        outbox.disable(post.database, receiver.url.get_secret_value())
    failures = message.failures + 1
    delay = next_delay_seconds(failures, answer.retry_after_seconds, random.random())
    if answer.verdict == "retry" and delay is not None:
        outbox.postpone(post.database, message.message_id, post.clock() + timedelta(seconds=delay))
        logger.warning("receiver %s: try %d failed, next in %.0f s: %s", message.receiver, failures, delay, words)
        return
    outbox.settle(post.database, message.message_id, "failed")
    logger.error("receiver %s: gave up %s after %d tries: %s", message.receiver, message.message_id, failures, words)


async def _try(message: Message, receiver: Receiver, post: Post) -> Answer:
    url = httpx.URL(receiver.url.get_secret_value())
    headers = signed_headers(receiver.secret.get_secret_value(), message.message_id, message.body, post.clock())
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        async with asyncio.timeout(SEND_SECONDS):
            addresses = await resolve(url.host, port, allow_private=receiver.allow_private)
            return await _dial(addresses, url, headers, message.body, post)
    except ForbiddenAddressError as error:
        return Answer("refused", str(error))
    except (httpx.HTTPError, OSError) as error:  # TimeoutError is an OSError
        return Answer("retry", f"{type(error).__name__} {error}")


async def _dial(addresses: list[str], url: httpx.URL, headers: Mapping[str, str], body: bytes, post: Post) -> Answer:
    """Try the checked addresses in turn, as a browser does; the last one's failure is the message's."""
    for address in addresses[:-1]:
        try:
            return await _exchange(address, url, headers, body, post)
        except httpx.ConnectError:
            continue
    return await _exchange(addresses[-1], url, headers, body, post)


async def _exchange(address: str, url: httpx.URL, headers: Mapping[str, str], body: bytes, post: Post) -> Answer:
    """One POST to an address; the certificate and the Host header are those of the name."""
    request = post.http.build_request(
        "POST",
        url.copy_with(host=address),
        headers={**headers, "host": url.netloc.decode()},
        content=body,
        extensions={"sni_hostname": url.host},
    )
    response = await post.http.send(request, stream=True)
    try:
        words = await _beginning(response)
    finally:
        await response.aclose()
    return Answer(
        verdict_of(response.status_code),
        f"answered {response.status_code} {words}",
        retry_after_seconds(response.headers, post.clock()),
    )


async def _beginning(response: httpx.Response) -> str:
    """The start of an answer as it came, never decompressed."""
    content = b""
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) >= ANSWER_BYTES:
            break
    return content[:LOGGED_CHARS].decode(errors="replace")
