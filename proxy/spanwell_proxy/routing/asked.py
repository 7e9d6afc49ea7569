"""What routing may know of a request. What is costly to tell is told when a policy first looks at it, and kept."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from spanwell_proxy.routing.complexity import DEFAULT_SCALE, Complexity, Scale, judge
from spanwell_proxy.routing.prefix import prefix_key

BYTES_A_TOKEN = 4  # of a request's JSON: an estimate from below, so that nothing that fits is turned away


class Assignment(NamedTuple):
    """The arm of an experiment that a call belongs to, and how likely that was."""

    experiment: str
    arm: str
    probability: float
    deployment: str = ""  # the only one that should answer; empty: any of the arm's model


class Asked:
    """One request, as it is after an experiment's arm has changed it."""

    __slots__ = (
        "_complexity",
        "_prefix",
        "assignment",
        "most_output",
        "request",
        "size_bytes",
        "stream",
        "tags",
        "tier",
    )

    def __init__(
        self,
        request: Mapping[str, Any],
        size_bytes: int,
        *,
        most_output: int | None = None,
        tier: str = "",
        tags: frozenset[str] = frozenset(),
        assignment: Assignment | None = None,
    ) -> None:
        """`most_output` is the bound of the answer in tokens; `tier` and `tags` are the caller's."""
        self.request = request
        self.size_bytes = size_bytes
        self.stream = request.get("stream") is True
        self.most_output = most_output
        self.tier = tier
        self.tags = tags
        self.assignment = assignment
        self._prefix: int | None = None
        self._complexity: Complexity | None = None

    @property
    def input_tokens(self) -> int:
        return self.size_bytes // BYTES_A_TOKEN

    @property
    def prefix(self) -> int:
        """Equal for requests that begin alike."""
        if self._prefix is None:
            self._prefix = prefix_key(self.request)
        return self._prefix

    def complexity(self, scale: Scale = DEFAULT_SCALE) -> Complexity:
        if self._complexity is None or self._complexity.scale is not scale:
            self._complexity = judge(self.request, scale)
        return self._complexity


NOTHING_ASKED: Final = Asked({}, 0)
