"""Each test is a small trace, and what of it counts."""

import random
from collections.abc import Sequence
from typing import Any

from spanwell_collector.calls.facts import SpanFacts
from spanwell_collector.calls.stitch import stitch

USED = (10, 5, 0, 0, 0)
SECOND = 1_000_000


def span(name: str, parent: str = "", **facts: Any) -> SpanFacts:
    """A span of trace `t`; spans are named, not numbered, and begin in no order."""
    given = {"trace_id": "t", "service": "shop", "app": "shop", "duration_us": SECOND, **facts}
    return SpanFacts("p", span_id=name, parent_span_id=parent, **given)


def call(name: str, parent: str = "", **facts: Any) -> SpanFacts:
    """A model call that carries usage."""
    return span(name, parent, **{"operation": "chat", "request_model": "small", "usage": USED, **facts})


def gateway(name: str, parent: str = "", **facts: Any) -> SpanFacts:
    return call(
        name, parent, **{"scope": "spanwell.proxy", "service": "spanwell-proxy", "app": "spanwell-proxy", **facts}
    )


def served(name: str, parent: str = "", **facts: Any) -> SpanFacts:
    """What vLLM tells of a call, `duplicate_of` its parent as the refining guesses."""
    return call(name, parent, **{"dialect": "vllm", "service": "vllm", "app": "vllm", "duplicate_of": parent, **facts})


def by_sdk(name: str, parent: str = "", **facts: Any) -> SpanFacts:
    return call(name, parent, **{"dialect": "anthropic_sdk", "scope": "com.anthropic.sdk.python", **facts})


def corrected(spans: Sequence[SpanFacts]) -> dict[str, SpanFacts]:
    """The spans by name, as they are once stitched."""
    now = {one.key: one for one in spans}
    for correction in stitch(spans).corrections:
        now[correction.span.key] = correction.corrected()
    return {one.span_id: one for one in now.values()}


def counting(*spans: SpanFacts) -> list[str]:
    return sorted(one.span_id for one in corrected(spans).values() if one.is_call and not one.duplicate_of)


def test_a_lone_call_is_left_as_it_is() -> None:
    assert stitch([span("root"), call("only", "root")]).corrections == []


def test_of_an_outer_and_an_inner_span_the_inner_counts() -> None:
    spans = corrected([call("outer"), span("http", "outer"), call("inner", "http")])

    assert spans["outer"].duplicate_of == "inner"
    assert spans["inner"].duplicate_of == ""


def test_an_inner_span_without_usage_does_not_count_in_place_of_an_outer_one_with_it() -> None:
    assert counting(call("outer"), call("inner", "outer", usage=(0,) * 5)) == ["outer"]


def test_an_outer_span_that_covers_several_calls_repeats_their_sum() -> None:
    spans = [call("outer"), call("first", "outer", ts_us=1), call("second", "outer", ts_us=2)]

    assert counting(*spans) == ["first", "second"]
    assert corrected(spans)["outer"].duplicate_of == "second"


def test_an_outer_span_is_the_duplicate_of_the_inner_one_with_its_response_id() -> None:
    inner = [call("first", "outer", response_id="chat-1111", ts_us=1), call("second", "outer", ts_us=2)]

    assert corrected([call("outer", response_id="chat-1111"), *inner])["outer"].duplicate_of == "first"


def test_an_attempt_that_failed_is_a_call_of_its_own() -> None:
    failed = call("failed", "outer", usage=(0,) * 5, status="error")

    assert counting(call("outer"), failed, call("second", "outer")) == ["failed", "second"]


def test_two_calls_with_the_same_parent_are_two_calls() -> None:
    assert counting(span("root"), call("one", "root"), call("other", "root")) == ["one", "other"]


def test_the_gateways_span_counts_before_those_above_and_below_it() -> None:
    spans = corrected([call("client"), gateway("proxy", "client"), call("lane", "proxy"), served("vllm", "lane")])

    assert [name for name, one in spans.items() if not one.duplicate_of] == ["proxy"]
    assert spans["vllm"].duplicate_of == "proxy"


def test_a_gateways_span_that_failed_counts_all_the_same() -> None:
    assert counting(call("client"), gateway("proxy", "client", usage=(0,) * 5, status="error")) == ["proxy"]


def test_what_lies_beneath_an_attempt_is_the_gateways_call() -> None:
    attempts = [
        span(name, "proxy", scope="spanwell.proxy", service="spanwell-proxy", app="spanwell-proxy", ts_us=at)
        for at, name in enumerate(("attempt 1", "attempt 2"))
    ]
    beneath = [served(f"vllm {at}", f"attempt {at}", duplicate_of=f"attempt {at}") for at in (1, 2)]

    spans = corrected([gateway("proxy", "client"), *attempts, *beneath])

    assert [spans[one.span_id].duplicate_of for one in beneath] == ["proxy", "proxy"]
    assert [spans[one.span_id] for one in attempts] == attempts  # they are no calls
    assert counting(*spans.values()) == ["proxy"]


def test_a_server_beneath_an_attempt_waits_for_its_call() -> None:
    early = [served("vllm", "attempt", is_fresh=True)]

    assert stitch(early).corrections == []
    assert early[0].trace in stitch(early).loose.traces


def test_the_model_servers_span_counts_only_where_nobody_above_tells_of_the_call() -> None:
    assert counting(call("client"), served("vllm", "client")) == ["client"]
    assert counting(span("root"), served("vllm", "root")) == ["vllm"]


def test_a_call_without_usage_takes_the_model_servers() -> None:
    spans = corrected([call("client", usage=(0,) * 5), served("vllm", "client", usage=(7, 3, 0, 0, 0))])

    assert spans["client"].usage == (7, 3, 0, 0, 0)
    assert spans["vllm"].duplicate_of == "client"


def test_a_model_servers_guess_holds_while_its_parent_may_still_come() -> None:
    assert stitch([served("vllm", "unseen", is_fresh=True)]).corrections == []
    assert counting(served("vllm", "unseen", is_fresh=False)) == ["vllm"]


def test_the_sequences_that_a_model_server_tells_apart_are_one_call() -> None:
    several = [served(name, "root", response_id="chat-0001", usage=(9, 4, 0, 0, 0)) for name in ("a", "b", "c")]

    assert counting(span("root"), *several) == ["a"]
    assert corrected([span("root"), *several])["a"].usage == (9, 12, 0, 0, 0)


def test_what_a_tool_calls_is_another_call() -> None:
    tool = span("tool", "outer", operation="execute_tool")

    assert counting(call("outer"), tool, call("of the tool", "tool")) == ["of the tool", "outer"]


def test_embeddings_within_a_chat_are_another_call() -> None:
    assert counting(call("chat"), call("vectors", "chat", operation="embeddings")) == ["chat", "vectors"]


def test_one_response_told_by_two_emitters_in_two_traces_is_one_call() -> None:
    spans = corrected(
        [
            span("root", user_id="ada"),
            call("told", "root", scope="openllmetry", response_id="msg_0001", usage=(83, 5, 0, 0, 0)),
            by_sdk("own", trace_id="u", response_id="msg_0001", usage=(83, 4, 0, 0, 0), ts_us=2000),
        ]
    )

    assert (spans["told"].duplicate_of, spans["own"].duplicate_of) == ("", "t:told")
    assert spans["told"].usage == (83, 4, 0, 0, 0)


def test_a_failed_call_that_anthropics_sdk_repeats_counts_once() -> None:
    failed: dict[str, Any] = {"status": "error", "usage": (0,) * 5}
    told = call("told", "root", scope="openllmetry", **failed)

    assert counting(span("root"), told, by_sdk("own", "root", ts_us=2, duration_us=9, **failed)) == ["told"]


def test_the_gateways_span_of_another_trace_counts_and_learns_who_called() -> None:
    told = call("told", "root", scope="openinference", response_id="chat-0001")
    proxy = gateway("proxy", trace_id="u", response_id="chat-0001", usage=(10, 6, 0, 0, 0))

    spans = corrected([span("root", user_id="ada", session_id="s-1", environment="prod"), told, proxy])

    assert spans["told"].duplicate_of == "u:proxy"
    learned = spans["proxy"]
    assert (learned.user_id, learned.session_id, learned.environment, learned.app) == ("ada", "s-1", "prod", "shop")
    assert learned.usage == (10, 6, 0, 0, 0)


def test_a_cache_hit_and_its_miss_are_two_calls_with_one_response_id() -> None:
    both: dict[str, Any] = {"response_id": "chat-0001", "duration_us": SECOND // 10}
    spans = [
        call("asked", trace_id="a", scope="x", **both),
        gateway("miss", trace_id="b", **both),
        call("asked again", trace_id="c", scope="x", ts_us=SECOND, **both),
        gateway("hit", trace_id="d", ts_us=SECOND, **both),
    ]

    assert counting(*spans) == ["hit", "miss"]
    assert corrected(spans)["asked again"].duplicate_of == "d:hit"


def test_the_same_response_id_hours_apart_is_not_one_call() -> None:
    late = gateway("late", trace_id="u", response_id="chat-0001", ts_us=3600 * SECOND)

    assert counting(call("early", response_id="chat-0001"), late) == ["early", "late"]


def test_other_projects_are_not_looked_at() -> None:
    foreign = gateway("proxy", "client")._replace(project="q")

    assert stitch([call("client"), foreign]).corrections == []


def test_logfires_record_of_a_stream_completes_the_request_it_ends() -> None:
    told: dict[str, Any] = {"dialect": "logfire", "scope": "logfire.openai"}
    request = call("request", usage=(0,) * 5, duration_us=2000, has_input=True, **told)
    record = call("record", trace_id="u", ts_us=12_000, duration_us=0, streamed_ms=9.8, has_output=True, **told)

    spans = corrected([request, record])

    assert spans["record"].duplicate_of == "t:request"
    assert (spans["request"].usage, spans["request"].has_output) == (USED, True)


def test_a_call_learns_from_the_nearest_span_above_that_knows() -> None:
    root = span("root", user_id="ada", session_id="s-1", tags=("beta",), release="1.2", app="assistant")
    step = span("step", "root", session_id="s-2")

    learned = corrected([root, step, call("call", "step")])["call"]

    assert (learned.user_id, learned.session_id, learned.tags) == ("ada", "s-2", ("beta",))
    assert (learned.release, learned.app) == ("1.2", "assistant")


def test_what_a_call_says_itself_stays() -> None:
    root = span("root", user_id="ada", app="assistant")

    assert stitch([root, call("call", "root", user_id="bob", app="own")]).corrections == []


def test_texts_come_from_the_duplicate_that_has_them() -> None:
    spans = [call("outer", has_input=True, has_output=True), call("inner", "outer", has_output=True)]

    of_inner = stitch(spans).corrections[0]

    assert (of_inner.span.span_id, of_inner.input_from, of_inner.output_from) == ("inner", spans[0], None)


def test_a_gateways_span_that_comes_late_takes_over() -> None:
    early = corrected([call("outer"), call("inner", "outer")])

    late = corrected([*early.values(), gateway("proxy", "inner")])

    assert [name for name, one in late.items() if not one.duplicate_of] == ["proxy"]
    assert late["outer"].duplicate_of == "proxy"


def test_parents_in_a_ring_and_a_span_that_came_twice_do_no_harm() -> None:
    ring = [call("a", "c"), call("b", "a", ts_us=1), call("c", "b", ts_us=2), call("self", "self", ts_us=9)]

    assert counting(*ring, *ring) == ["c", "self"]


def test_a_trace_as_deep_as_it_is_long_is_stitched() -> None:
    chain = [call(f"{depth}", f"{depth - 1}" if depth else "", ts_us=depth) for depth in range(5000)]

    assert counting(*chain) == ["4999"]


def test_of_a_thousand_emitters_that_tell_of_one_response_one_counts() -> None:
    told = [
        call(f"{number}", "root", scope=f"s{number}", response_id="chat-0001", ts_us=number) for number in range(1000)
    ]

    assert counting(span("root"), *told) == ["0"]


def test_what_may_still_change_a_decision_is_told() -> None:
    loose = stitch([call("call", "unseen", response_id="chat-0001"), gateway("proxy", trace_id="u")]).loose

    assert loose.traces == {("p", "t")}
    assert loose.responses == {"chat-0001"}


def test_any_trace_is_stitched_once_and_for_all_and_counts_one_call_a_way() -> None:
    for seed in range(300):
        spans = make_trace(random.Random(seed))

        done = corrected(spans)
        assert stitch(list(done.values())).corrections == [], seed
        named = {one.duplicate_of.rpartition(":")[2] for one in done.values() if one.is_call and one.duplicate_of}
        assert [name for name in named if done[name].duplicate_of] == [], seed
        shuffled = random.Random(seed).sample(spans, len(spans))
        assert corrected(shuffled) == done, seed
        # Where response ids link branches, the one that counts may be in another one.
        allowed = (0, 1) if any(one.response_id for one in spans) else (1,)
        assert [way for way in ways(spans) if sum(not done[name].duplicate_of for name in way) not in allowed] == [], (
            seed
        )


def make_trace(chance: random.Random) -> list[SpanFacts]:
    """Some forty spans: calls of every emitter, nested at random, steps and tools, users here and there."""
    kinds = (call, gateway, served, by_sdk, span)
    responses = chance.choice((("",), ("", "chat-0001", "chat-0002")))
    spans: list[SpanFacts] = []
    for number in range(chance.randint(1, 40)):
        parent = chance.choice(spans).span_id if spans and chance.random() < 0.9 else chance.choice(("", "gone"))
        facts: dict[str, Any] = {"ts_us": chance.randrange(1000), "user_id": chance.choice(("", "", "ada", "bob"))}
        make = chance.choice(kinds)
        if make is not span:
            facts["usage"] = chance.choice((USED, (0,) * 5, (8, 8, 0, 0, 0)))
            facts["has_output"] = chance.random() < 0.5
            facts["response_id"] = chance.choice(responses)
        elif chance.random() < 0.3:
            facts["operation"] = "execute_tool"
        spans.append(make(f"s{number:02}", parent, **facts))
    return spans


def ways(spans: Sequence[SpanFacts]) -> list[list[str]]:
    """From each innermost call outward, the calls on its way up to a tool."""
    by_id = {one.span_id: one for one in spans}
    found = []
    for leaf in (one for one in spans if one.is_call):
        way: list[str] = []
        at: SpanFacts | None = leaf
        while at and (at.is_call or not at.operation):
            way += [at.span_id] if at.is_call else []
            at = by_id.get(at.parent_span_id)
        found.append(way)
    inner = {name for way in found for name in way[1:]}
    return [way for way in found if way[0] not in inner]
