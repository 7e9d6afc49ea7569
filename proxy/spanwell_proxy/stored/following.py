"""Follows a response that its backend works at in the background, until it is known what it has used.

Its call keeps what it reserved until then, and becomes one span with the right bill, though its client was answered
long before and may never ask for the result.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from spanwell_proxy.apis.api import BrokenAnswerError
from spanwell_proxy.apis.responses import RESPONSES, is_pending
from spanwell_proxy.call import Call
from spanwell_proxy.failures import ApiError
from spanwell_proxy.upstream.accounting import account
from spanwell_proxy.upstream.client import Client
from spanwell_proxy.upstream.refusals import read_failure

logger = logging.getLogger(__name__)

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 15.0
LONGEST_S: Final = 24 * 3600.0
MOST_FAILURES: Final = 20  # in a row; then nobody will ever know
LOOK_TIMEOUT_S: Final = 30.0

Settle = Callable[[], Awaitable[None]]


class Followers:
    """The responses that are followed now."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._tasks: set[asyncio.Task[None]] = set()

    def follow(self, call: Call, settle: Settle) -> None:
        """`settle` is called once, when the response is done or given up."""
        task = asyncio.create_task(self._follow(call, settle))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Settle what is still open as it is known."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _follow(self, call: Call, settle: Settle) -> None:
        try:
            await _wait(call, self._client)
        finally:
            if call.deployment:
                account(call, call.deployment)
            await settle()


def is_unfinished(call: Call) -> bool:
    """Whether the answer that the client has got says that more is to come."""
    return call.api.keeps_answers and call.reader is None and bool(call.document) and is_pending(call.document or {})


async def _wait(call: Call, client: Client) -> None:
    """Until the response is done, and the call has it."""
    pause_s, failures, until = FIRST_PAUSE_S, 0, time.monotonic() + LONGEST_S
    while failures < MOST_FAILURES and time.monotonic() < until:
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)
        try:
            body = await _look(call, client)
            document = RESPONSES.read(body)
        except (ApiError, BrokenAnswerError, OSError) as error:
            if isinstance(error, BrokenAnswerError) or (isinstance(error, ApiError) and error.status == 404):
                return  # it failed, or was deleted
            failures += 1
            continue
        failures = 0
        if not is_pending(document):
            call.document, call.answer = document, body
            return
    logger.warning("gave up to follow a response of %s", call.model)


async def _look(call: Call, client: Client) -> bytes:
    deployment, response_id = call.deployment, (call.document or {}).get("id", "")
    if deployment is None:
        return b""
    path = f"{RESPONSES.path}/{response_id}{deployment.url.query}"
    async with asyncio.timeout(LOOK_TIMEOUT_S):
        answer = await client.send(deployment, "GET", path)
        try:
            body = await answer.read()
        finally:
            answer.close()
    if not 200 <= answer.status < 300:
        raise read_failure(deployment, call.api.dialect, answer, body)
    return body
