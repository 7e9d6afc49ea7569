"""What a caller gets from a backend that misbehaves, as a table: read it as the specification.

Every row is met on every API, whole and streamed, over http and https: once by all attempts, and once by the first
alone, where another attempt may help.
"""

import asyncio
import json
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from spanwell import conventions as c
from tests.proxy.api_faults import FAULTS
from tests.proxy.backend import SECRET
from tests.proxy.bad_backend import BadBackend, make_certificate, running_bad_backend
from tests.proxy.gateway import PLAIN, Proxy, config, deployment, running_proxy
from tests.proxy.sink import Seen, running_sink
from tests.proxy.upstream.outcomes import BROKEN, CHUNKS, GUESSED, GUESSED_CHUNKS, OK, Outcome, refused

AT_ONCE = 24
STALE = "keep-alive gone stale"
SLOW_S = 2.0
PATIENT_S = 30.0

LOST = refused(502, "upstream_unreachable")
LATE = refused(504, "upstream_timeout")
ODD = refused(502, "upstream_broken_stream")
LOST_TOLD, LATE_TOLD = replace(LOST, told=("messages",)), replace(LATE, told=("messages",))
LATE_MIDWAY = BROKEN("upstream_timeout")
LOST_MIDWAY = BROKEN("upstream_unreachable")
LOST_COUNTED = BROKEN("upstream_unreachable", counted=CHUNKS)
ODD_MIDWAY = BROKEN("upstream_broken_stream")

# fault: (what it is when a whole answer was asked for, what it is when a stream was)
TABLE: dict[str, tuple[Outcome, Outcome]] = {
    "well": (OK, OK),
    # connections
    "reset before the answer": (LOST, LOST),
    "close before the answer": (LOST, LOST),
    "hang before the headers": (LATE, LATE),
    "hang inside the headers": (LATE, LATE),
    "hang after the headers": (LATE, LATE),
    "stall after the role": (LATE, LATE_TOLD),
    "stall midway": (LATE, LATE_MIDWAY),
    "slow loris": (LATE, LATE_MIDWAY),
    "reset midway": (LOST, LOST_MIDWAY),
    "close midway": (LOST, LOST_MIDWAY),
    "close after the role": (LOST, LOST_TOLD),
    "reset after the last word": (OK, OK),
    "hang after the last word": (OK, GUESSED_CHUNKS),
    "keep-alive gone stale": (OK, OK),
    # framing
    "http/1.0": (OK, OK),
    "ended by closing": (OK, OK),
    "http/1.0, ended by closing": (OK, OK),
    "ended by closing, cut short": (ODD, ODD_MIDWAY),
    "http/1.0, cut short": (ODD, ODD_MIDWAY),
    "length too long": (LOST, LOST_MIDWAY),
    "length too short": (ODD, ODD_MIDWAY),
    "length and chunked": (LOST, LOST),
    "two lengths": (LOST, LOST),
    "no number as length": (LOST, LOST),
    "unknown coding": (LOST, LOST),
    "bad chunk size": (LOST, LOST),
    "bad chunk size midway": (LOST, LOST_MIDWAY),
    "gzip that nobody asked for": (LOST, LOST),
    "huge headers": (LOST, LOST),
    "many headers": (LOST, LOST),
    "headers without an end": (LOST, LOST),
    "huge trailers": (LOST, LOST_MIDWAY),
    "continue and early hints": (OK, OK),
    "hints without an end": (LOST, LOST),
    "another protocol": (LOST, LOST),
    "no http at all": (LOST, LOST),
    "more after the end": (OK, OK),
    "two answers": (OK, OK),
    "lines that end in a line feed alone": (LOST, LOST),
    # statuses
    "400": (refused(400, "upstream_400", again=False),) * 2,
    "401": (refused(502, "upstream_401", again=False),) * 2,
    "402": (refused(502, "upstream_402", again=False),) * 2,
    "403": (refused(502, "upstream_403", again=False),) * 2,
    "404": (refused(404, "upstream_404", again=False),) * 2,
    "404 of the route": (refused(404, "upstream_404", again=False),) * 2,
    "408": (refused(408, "upstream_408"),) * 2,
    "413": (refused(413, "upstream_413", again=False),) * 2,
    "422": (refused(422, "upstream_422", again=False),) * 2,
    "429": (refused(429, "upstream_rate_limited"),) * 2,
    "429, again at once": (refused(429, "upstream_rate_limited", retry_after="0"),) * 2,
    "429, again in two minutes": (refused(429, "upstream_rate_limited", again=False, retry_after="120"),) * 2,
    "429, again at no time": (refused(429, "upstream_rate_limited"),) * 2,
    "500": (refused(500, "upstream_500"),) * 2,
    "500 without words": (refused(500, "upstream_500"),) * 2,
    "500 whose words never come": (refused(500, "upstream_500"),) * 2,
    "502 as a page": (refused(502, "upstream_502"),) * 2,
    "503": (refused(503, "upstream_503"),) * 2,
    "503, again in two minutes": (refused(503, "upstream_503", again=False, retry_after="120"),) * 2,
    "504": (refused(504, "upstream_504"),) * 2,
    "529": (refused(503, "upstream_529", anthropic=529),) * 2,
    "status 799": (refused(502, "upstream_799"),) * 2,
    "redirect": (refused(502, "upstream_302", again=False),) * 2,
    "redirect of a post": (refused(502, "upstream_307", again=False),) * 2,
    "nothing to say": (ODD, ODD),
    # what a 200 holds
    "empty": (ODD, ODD),
    "white space": (ODD, ODD),
    "a page": (ODD, ODD),
    "a page that calls itself json": (ODD, ODD),
    "half a document": (ODD, ODD),
    "no object": (ODD, ODD),
    "null": (ODD, ODD),
    "another object": (ODD, ODD),
    "no utf-8": (ODD, ODD),
    "a deep document": (ODD, ODD),
    "an error as an answer": (refused(500, "upstream_broken_stream"),) * 2,
    "an error 429 as an answer": (refused(429, "upstream_broken_stream"),) * 2,
    "an error 400 as an answer": (refused(400, "upstream_broken_stream", again=False),) * 2,
    "another content type": (OK, OK),
    "the other content type": (OK, OK),
    "no content type": (OK, OK),
    "whole though a stream was asked for": (OK, OK),
    "longer than any answer": (LOST, ODD),
    # events
    "garbage": (ODD, ODD),
    "garbage midway": (ODD, ODD_MIDWAY),
    "an error first": (ODD, refused(500, "upstream_broken_stream")),
    "an error midway": (ODD, ODD_MIDWAY),
    "an event of an error midway": (ODD, ODD_MIDWAY),
    "done at once": (ODD, ODD),
    "comments alone": (ODD, ODD),
    "cut at every byte": (OK, OK),
    "all in one piece": (OK, OK),
    "carriage returns": (OK, OK),
    "carriage returns, cut at every byte": (OK, OK),
    "pings and comments": (OK, OK),
    "no done": (OK, OK),
    "done twice": (OK, OK),
    "more after done": (OK, OK),
    "no last line": (OK, OK),
    "usage nowhere": (GUESSED, GUESSED),
    "usage in every chunk": (OK, OK),
    "usage with the last word": (OK, OK),
    "usage in every chunk, cut short": (LOST, LOST_COUNTED),
}
MESSAGES = [{"role": "user", "content": "Do foxes sleep?"}]
ASKED: dict[str, dict[str, Any]] = {
    "chat/completions": {"messages": MESSAGES},
    "completions": {"prompt": "Do foxes sleep?"},
    "responses": {"input": "Do foxes sleep?"},
    "messages": {"messages": MESSAGES, "max_tokens": 100},
    "embeddings": {"input": "Do foxes sleep?"},
}
# A connection that is used again and closed at once looks as if it had idled too long: these need their own.
ALONE = ("reset before the answer", "close before the answer", STALE)
OTHERS = {  # met one by one
    *(
        "words without an end",
        "slow",
        "slower",
        "slow, then a stall",
        "two words, then a close",
        "too long for it",
        "against its policy",
    ),
}
HURRIED = ("hang", "stall", "slow")


@dataclass(frozen=True)
class Case:
    """`once`: only the first attempt meets the fault."""

    number: int
    fault: str
    api: str
    stream: bool
    once: bool

    def __str__(self) -> str:
        how = "stream" if self.stream else "whole"
        return f"{self.api}, {how}: {self.fault}" + (", then well" if self.once else "")

    @property
    def name(self) -> str:
        return f"case-{self.number}"

    @property
    def is_hurried(self) -> bool:
        """Ends when the proxy loses its patience. Those come last, when little else is done: a busy machine would be
        taken for a slow backend."""
        return any(word in self.fault for word in HURRIED)

    @property
    def outcome(self) -> Outcome:
        met = TABLE[self.fault][self.stream]
        return replace(OK, told=met.told) if self.once else met

    @property
    def attempts(self) -> int:
        met = TABLE[self.fault][self.stream]
        return 2 if self.once or met.again else 1

    @property
    def calls(self) -> int:
        return 2 if self.fault == STALE else 1

    @property
    def requests(self) -> int:
        """A request on a connection that was gone counts for nothing, though the backend may see it."""
        return 3 if self.fault == STALE else self.attempts


@dataclass(frozen=True)
class Result:
    """What the client got, what the backend saw, and the one span."""

    reply: httpx.Response
    requests: int
    spans: list[Seen]
    attempts: list[Seen]


def list_cases() -> Iterator[Case]:
    number = 0
    for fault, outcomes in TABLE.items():
        for api in ASKED:
            for stream in (False, True) if api != "embeddings" else (False,):
                for once in (False, True) if outcomes[stream].again else (False,):
                    yield Case(number := number + 1, fault, api, stream, once)


CASES = tuple(list_cases())


async def make_config(backend: BadBackend) -> dict[str, Any]:
    deployments, hurried = [], {}
    for case in CASES:
        origin = await backend.open_door() if case.fault in ALONE else backend.origin
        url, timeout_s = f"{origin}/{case.name}/v1", SLOW_S if case.is_hurried else PATIENT_S
        deployments.append(deployment(url, case.name, timeout=timeout_s))
        backend.scripts[case.name] = [case.fault, "well"] if case.once else [case.fault]
        if case.is_hurried:
            hurried[case.name] = {"chunk_seconds": SLOW_S / 2}
    return config(*deployments, resilience={"models": hurried})


async def meet(case: Case, proxy: Proxy, client: httpx.AsyncClient) -> httpx.Response:
    body = {"model": case.name, **ASKED[case.api]} | ({"stream": True} if case.stream else {})
    headers = {"authorization": f"Bearer {proxy.key}", "x-request-id": case.name}
    reply = await client.post(f"{proxy.url}/v1/{case.api}", json=body, headers=headers)
    if case.fault == STALE:
        reply = await client.post(f"{proxy.url}/v1/{case.api}", json=body, headers=headers)
    return reply


async def meet_all(data: Path, context: ssl.SSLContext | None) -> dict[str, Result]:
    gate, in_turn = asyncio.Semaphore(AT_ONCE), sorted(CASES, key=lambda case: case.is_hurried)
    async with running_bad_backend(context) as backend, running_sink() as sink:
        async with (
            running_proxy(data, await make_config(backend), sink.port) as proxy,
            httpx.AsyncClient(timeout=60.0, verify=PLAIN) as client,
        ):

            async def meet_one(case: Case) -> httpx.Response:
                async with gate:
                    return await meet(case, proxy, client)

            replies = await asyncio.gather(*map(meet_one, in_turn))
        await sink.wait(sum(case.calls for case in CASES), 20.0)
    spans: dict[str, list[Seen]] = {}
    for span in sink.spans:
        spans.setdefault(span.attributes[c.REQUEST_MODEL], []).append(span)
    return {
        case.name: Result(
            reply,
            len(backend.requests[case.name]),
            spans[case.name],
            [one for one in sink.attempts if one.trace_id in {span.trace_id for span in spans[case.name]}],
        )
        for case, reply in zip(in_turn, replies, strict=True)
    }


@pytest.fixture(scope="module", params=["http", "https"])
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Result]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spanwell_proxy.upstream.fetching.REFUSAL_S", 0.3)
        patch.setattr("spanwell_proxy.upstream.relay.AFTERWORD_S", 0.3)
        patch.setattr("spanwell_proxy.upstream.connection.LONGEST_ANSWER_BYTES", 2_000_000)
        patch.setattr("spanwell_proxy.apis.events.LONGEST_EVENT_BYTES", 2_000_000)
        context = None
        if request.param == "https":
            certificate, context = make_certificate(tmp_path_factory.mktemp("tls"))
            patch.setenv("SSL_CERT_FILE", str(certificate))
        yield asyncio.run(meet_all(tmp_path_factory.mktemp("matrix"), context))


def test_every_fault_there_is_stands_in_the_table() -> None:
    sys.stdout.write(f"{len(CASES)} cases of {len(TABLE)} faults, over http and over https\n")

    assert FAULTS.keys() - OTHERS == TABLE.keys()
    assert len(CASES) > 68


@pytest.mark.parametrize("case", CASES, ids=str)
def test_caller_bill_and_span_are_right(results: dict[str, Result], case: Case) -> None:
    result, outcome = results[case.name], case.outcome
    span = result.spans[-1]

    assert result.reply.status_code == outcome.status_for(case.api)
    outcome.check_reply(case.api, case.stream, result.reply)
    assert (span.error, span.attributes.get(c.ERROR_TYPE, "")) == (outcome.kind != "", outcome.kind)
    outcome.check_bill(case.api, span, failed=case.attempts - (not outcome.kind))
    assert (len(result.spans), span.attributes[c.ATTEMPTS]) == (case.calls, case.attempts)
    assert len(result.attempts) == case.attempts * case.calls
    assert result.requests == case.requests
    assert SECRET not in result.reply.text + span.message + json.dumps(span.attributes)
