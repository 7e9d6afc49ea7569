"""The calls of one trace: which call lies within which, and what the spans around each say about whose it is."""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from spanwell_collector.calls.facts import SpanFacts

FAMILIES: Final = {"chat": "generation", "text_completion": "generation", "embeddings": "embeddings"}


class Known(NamedTuple):
    """What a span and those above it say; the nearest word counts."""

    user_id: str = ""
    session_id: str = ""
    environment: str = ""
    release: str = ""
    tags: tuple[str, ...] = ()
    app: str = ""  # given by its producer, not taken from the name of its service
    service: str = ""
    service_app: str = ""
    outer_app: str = ""  # of the nearest span of another service
    is_open: bool = False  # the topmost parent is not here

    def below(self, span: SpanFacts) -> "Known":
        """What is known beneath `span`."""
        return Known(
            user_id=span.user_id or self.user_id,
            session_id=span.session_id or self.session_id,
            environment=span.environment or self.environment,
            release=span.release or self.release,
            tags=span.tags or self.tags,
            app=span.app if span.app != span.service else self.app,
            service=span.service,
            service_app=span.app,
            outer_app=self.caller_of(span.service),
            is_open=self.is_open,
        )

    def caller_of(self, service: str) -> str:
        """The app that called `service` here, or nothing."""
        return self.service_app if service != self.service else self.outer_app


class Node:
    """A call. `above` is the call that it lies within, `below` are those that lie within it.

    `carries`: a call below tells what was used. `is_made_here`: a call below is told by who made it.
    """

    __slots__ = ("above", "below", "carries", "is_made_here", "known", "span")

    def __init__(self, span: SpanFacts, known: Known, above: "Node | None") -> None:
        self.span = span
        self.known = known
        self.above = above
        self.below: list[Node] = []
        self.carries = False
        self.is_made_here = False


def grow(spans: Sequence[SpanFacts]) -> list[Node]:
    """The calls of one trace, outer ones before inner ones, and always in the same order.

    A call lies within the nearest call above it of its kind, unless a step of another kind, a tool's or an agent's,
    is between the two: that one made a call of its own. Parents that make a ring are cut at the earliest.
    """
    by_id: dict[str, SpanFacts] = {}
    children: dict[str, list[SpanFacts]] = defaultdict(list)
    for span in sorted(spans, key=lambda span: span.order):
        if by_id.setdefault(span.span_id, span) is span:
            children[span.parent_span_id].append(span)
    tops = [span for span in by_id.values() if span.parent_span_id not in by_id]
    reached: set[str] = set()
    nodes: list[Node] = []
    for top in (*tops, *by_id.values()):  # what no top leads to lies in a ring
        if top.span_id not in reached:
            nodes += _descend(top, children, reached)
    return nodes


def _descend(top: SpanFacts, children: Mapping[str, list[SpanFacts]], reached: set[str]) -> list[Node]:
    nodes: list[Node] = []
    queue: deque[tuple[SpanFacts, Known, Mapping[str, Node]]] = deque(
        [(top, Known(is_open=bool(top.parent_span_id)), {})]
    )
    reached.add(top.span_id)
    while queue:
        span, known, enclosing = queue.popleft()
        if family := FAMILIES.get(span.operation):
            node = Node(span, known, enclosing.get(family))
            if node.above:
                node.above.below.append(node)
            nodes.append(node)
            enclosing = {**enclosing, family: node}
        elif span.operation:
            enclosing = {}
        beneath = known.below(span)
        for child in children.get(span.span_id, ()):
            if child.span_id not in reached:
                reached.add(child.span_id)
                queue.append((child, beneath, enclosing))
    return nodes
