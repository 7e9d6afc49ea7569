"""Trees that were flattened into attribute names (`messages.0.content`), put together again."""

from collections.abc import Iterable
from typing import Any, Final

from spanwell_collector.dialects.values import Attributes

MOST_STEPS: Final = 24  # of a path; the deepest one that an emitter writes has nine


def take_trees(attributes: Attributes, roots: tuple[str, ...]) -> dict[str, Any]:
    """Take the lists that were flattened under `roots` (each ends with a dot) out of `attributes`; by their root.

    A level whose names are all numbers is a list in the order of the numbers, however large these are.
    """
    trees: dict[str, Any] = {}
    for name in [name for name in attributes if name.startswith(roots)]:
        root = next(root for root in roots if name.startswith(root))
        path = name[len(root) :].split(".", MOST_STEPS)
        if path[0].isdecimal():
            _plant(trees.setdefault(root, {}), path, attributes.pop(name))
    return {root: _with_lists(tree) for root, tree in trees.items()}


def unwrap(items: Any, wrapper: str) -> list[dict[str, Any]]:
    """`[{wrapper: {…}}, …]` without the wrapper; what is nothing like it is left out."""
    if not isinstance(items, list):
        return []
    return list(_dictionaries(item.get(wrapper) for item in _dictionaries(items)))


def _dictionaries(items: Iterable[Any]) -> Iterable[dict[str, Any]]:
    return (item for item in items if isinstance(item, dict))


def _plant(node: dict[str, Any], path: list[str], value: Any) -> None:
    """A leaf that stands where another path needs a branch makes room for it."""
    for step in path[:-1]:
        branch = node.get(step)
        if not isinstance(branch, dict):
            branch = node[step] = {}
        node = branch
    node.setdefault(path[-1], value)


def _with_lists(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    grown = {step: _with_lists(branch) for step, branch in node.items()}
    if grown and all(step.isascii() and step.isdecimal() and len(step) < 10 for step in grown):
        return [grown[step] for step in sorted(grown, key=int)]
    return grown
