"""Decides which spans of a call count, and what each counting span learns from the spans around it. No I/O.

One call is often told by several spans: an SDK's outer and inner one, two instrumentations, the gateway, the model's
server. Exactly one of them counts; the others get its id as `duplicate_of`.

On a way from a root down to a leaf, among calls of one kind (generation or embeddings):
- Our gateway's span counts before any other, and every call beneath it is its duplicate: it has the truth.
- Else the innermost one that who made the call tells, and that carries usage. An outer span does not count once any
  call within it carries usage, however many there are: it repeats their sum (retries, steps). Those within it that
  carry none (attempts that failed) count as calls of their own.
- Where none carries usage, the innermost one of who made the call.
- A model server's span (vLLM) counts where nobody above tells of the call. Until its parent had a minute to arrive it
  stays what the refining guessed.
- Calls side by side are calls of their own. A tool's or an agent's span ends the way: what it calls is another call.

Across branches and traces (`links`): the same response id from different emitters at the same time is one call. Then
the gateway's span counts, else one that has a place in a trace, before Anthropic's SDK's own, which stands alone; its
numbers are the certain ones, so the counting span takes them. Two spans of one emitter are never one call: a cache hit
repeats its miss's response id, and is a call. Only a model server tells of each sequence of a call (n > 1) by itself:
the first counts, with the output of all.

The counting span takes user, session, app, environment, release and tags, where it has none, from the nearest span
above it, then from its duplicates and those above them; usage and texts that it lacks come from its duplicates.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from spanwell_collector.calls.facts import ANTHROPIC_SDK, Correction, Key, SpanFacts, TraceKey
from spanwell_collector.calls.links import find_links
from spanwell_collector.calls.trees import Node, grow

MOST_ROUNDS: Final = 8
INHERITED: Final = ("user_id", "session_id", "environment", "release", "tags")


class LooseEnds(NamedTuple):
    """What may change a decision: more spans of `traces`, the gateway's of `responses`, a minute for `waiting`."""

    traces: frozenset[TraceKey]
    responses: frozenset[str]
    waiting: frozenset[TraceKey]


class Stitched(NamedTuple):
    """Corrections in a fixed order, and what to look out for."""

    corrections: list[Correction]
    loose: LooseEnds


def stitch(spans: Sequence[SpanFacts]) -> Stitched:
    """Of whole traces, what has to be corrected. Stitching the corrected spans again corrects nothing."""
    facts = {span.key: span for span in sorted(spans, key=lambda span: span.order, reverse=True)}
    corrections: dict[Key, Correction] = {}
    for _ in range(MOST_ROUNDS):  # a call within a call learns in the second round what the outer one did in the first
        told, some = _stitch_once(list(facts.values()))
        for correction in some:
            key = correction.span.key
            facts[key] = correction.corrected()
            corrections[key] = corrections[key].followed_by(correction) if key in corrections else correction
        if not some:
            break
    return Stitched([corrections[key] for key in sorted(corrections)], _find_loose_ends(told))


def _stitch_once(spans: Sequence[SpanFacts]) -> tuple[list[tuple[Node, list[Node]]], list[Correction]]:
    nodes = [node for trace in _by_trace(spans) for node in grow(trace)]
    groups = _Groups(nodes, _choose_by_way(nodes))
    for link in find_links(node.span for node in nodes):
        groups.join(link.one.key, link.other.key, is_part=link.is_part)
    told = groups.told()
    return told, [correction for winner, others in told for correction in _correct(winner, others, groups)]


def _by_trace(spans: Iterable[SpanFacts]) -> list[list[SpanFacts]]:
    traces: dict[TraceKey, list[SpanFacts]] = defaultdict(list)
    for span in spans:
        traces[span.trace].append(span)
    return [traces[key] for key in sorted(traces)]


def _choose_by_way(nodes: Sequence[Node]) -> dict[Key, Node]:
    """For each call the one that counts for it within its trace."""
    for node in reversed(nodes):  # inner ones first
        if node.above:
            node.above.carries |= node.carries or node.span.is_proxy or (_is_told(node) and node.span.has_usage)
            node.above.is_made_here |= node.is_made_here or _is_told(node)
    counting: dict[Key, Node] = {}
    for node in nodes:
        above = node.above and counting.get(node.above.span.key)
        if above or _counts(node):
            counting[node.span.key] = above or node
    for node in reversed(nodes):
        if node.span.key not in counting:
            counting[node.span.key] = max(
                (counting[inner.span.key] for inner in node.below), key=lambda inner: _likeness(node, inner)
            )
    return counting


def _is_told(node: Node) -> bool:
    """Whether who made the call tells of it."""
    return not node.span.is_server


def _counts(node: Node) -> bool:
    """Whether a call counts, as none above it does."""
    if node.span.is_proxy:
        return True
    if node.carries:
        return False
    if _is_told(node) and node.span.has_usage:
        return True
    return not node.is_made_here


def _likeness(outer: Node, inner: Node) -> tuple[bool, bool, tuple[int, str, str]]:
    """Sorts the calls within `outer`: last comes the one that is most likely the same."""
    same_id = bool(outer.span.response_id) and outer.span.response_id == inner.span.response_id
    return (same_id, inner.span.has_usage, inner.span.order)


class _Groups:
    """Calls that count, joined where several of them are one call."""

    def __init__(self, nodes: Sequence[Node], counting: dict[Key, Node]) -> None:
        self.nodes = nodes
        self.counting = counting
        self._leader: dict[Key, Key] = {}
        self._emitters: dict[Key, set[tuple[str, str, bool]]] = defaultdict(set)
        self._sizes: dict[Key, int] = defaultdict(int)  # the larger one leads: many are joined in little time
        for node in nodes:
            key = counting[node.span.key].span.key
            self._emitters[key].add(node.span.emitter)
            self._sizes[key] += 1

    def join(self, one: Key, other: Key, *, is_part: bool) -> None:
        """Make two calls one, unless one emitter tells of both and not of parts."""
        leaders = (self._lead(self.counting[key].span.key) for key in (one, other))
        second, first = sorted(leaders, key=lambda key: (self._sizes[key], key))
        if first != second and (is_part or self._emitters[first].isdisjoint(self._emitters[second])):
            self._leader[second] = first
            self._emitters[first] |= self._emitters[second]
            self._sizes[first] += self._sizes[second]

    def told(self) -> list[tuple[Node, list[Node]]]:
        """Each call that counts, with the others that tell of it, in the order of time."""
        groups: dict[Key, list[Node]] = defaultdict(list)
        for node in self.nodes:
            groups[self._lead(self.counting[node.span.key].span.key)].append(node)
        told = []
        for group in groups.values():
            winner = min((node for node in group if self.is_counting(node)), key=_precedence)
            others = sorted((node for node in group if node is not winner), key=lambda node: node.span.order)
            told.append((winner, others))
        return sorted(told, key=lambda call: call[0].span.order)

    def is_counting(self, node: Node) -> bool:
        """Whether it counts within its trace."""
        return self.counting[node.span.key] is node

    def _lead(self, key: Key) -> Key:
        while key in self._leader:
            key = self._leader[key]
        return key


def _precedence(node: Node) -> tuple[bool, bool, bool, bool, bool, bool, tuple[int, str, str]]:
    """Sorts spans of one call that count in their traces: the first is to count."""
    span = node.span
    return (
        not span.is_proxy,
        span.is_server,
        span.streamed_ms is not None,
        span.dialect == ANTHROPIC_SDK,
        not span.parent_span_id,
        not span.has_usage,
        span.order,
    )


def _correct(winner: Node, others: Sequence[Node], groups: _Groups) -> Iterator[Correction]:
    columns = _inherit(winner, others)
    if winner.span.duplicate_of and not _is_waiting(winner):
        columns["duplicate_of"] = ""
    span = winner.span
    correction = Correction(
        span,
        columns,
        _find_usage(winner, others, groups),
        None if span.has_input else next((node.span for node in others if node.span.has_input), None),
        None if span.has_output else next((node.span for node in others if node.span.has_output), None),
        # A part that is its duplicate already was added before.
        sum(
            node.span.usage[1]
            for node in others
            if node.span.is_part_with(span) and node.span.duplicate_of != span.span_id
        ),
    )
    if not correction.is_empty:
        yield correction
    for node in others:
        same_trace = node.span.trace_id == span.trace_id
        target = span.span_id if same_trace else f"{span.trace_id}:{span.span_id}"
        if node.span.duplicate_of != target:
            yield Correction(node.span, {"duplicate_of": target})


def _is_waiting(node: Node) -> bool:
    return node.span.is_server and node.span.is_fresh and node.known.is_open


def _inherit(winner: Node, others: Sequence[Node]) -> dict[str, Any]:
    span = winner.span
    found: dict[str, Any] = {}
    sources = [winner.known, *(node.known.below(node.span) for node in others)]
    for name in INHERITED:
        if not getattr(span, name) and (values := [value for one in sources if (value := getattr(one, name))]):
            found[name] = values[0]
    if span.app == span.service:
        apps = [one.app for one in sources]
        if span.is_proxy or span.is_server:
            apps += [winner.known.caller_of(span.service), *(node.span.app for node in others)]
        if app := next((app for app in apps if app and app != span.service), ""):
            found["app"] = app
    return found


def _find_usage(winner: Node, others: Sequence[Node], groups: _Groups) -> SpanFacts | None:
    """The span whose numbers are the call's, where the counting span's are wrong or missing."""
    if winner.span.is_proxy or winner.span.dialect == ANTHROPIC_SDK:
        return None
    one_call = [node.span for node in others if node.span.has_usage and groups.is_counting(node)]
    certain = [span for span in one_call if span.dialect == ANTHROPIC_SDK]
    if not certain and not winner.span.has_usage:
        served = [node.span for node in others if node.span.has_usage and node.span.is_server]
        certain = one_call or (served if len(served) == 1 else [])
    return certain[0] if certain and certain[0].usage != winner.span.usage else None


def _find_loose_ends(told: Iterable[tuple[Node, list[Node]]]) -> LooseEnds:
    traces: set[TraceKey] = set()
    responses: set[str] = set()
    waiting: set[TraceKey] = set()
    for winner, others in told:
        traces.update(node.span.trace for node in (winner, *others) if node.known.is_open)
        if winner.span.response_id and not winner.span.is_proxy:
            responses.add(winner.span.response_id)
        if winner.span.duplicate_of:
            waiting.add(winner.span.trace)
    return LooseEnds(frozenset(traces), frozenset(responses), frozenset(waiting))
