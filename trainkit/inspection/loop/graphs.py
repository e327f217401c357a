"""Walks through autograd's graphs, back from a loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

MOST = 20_000
"""Operations of a graph that are looked at."""


def nodes(root: Any, enter: Callable[[Any], bool] = lambda node: True) -> Iterator[Any]:
    """Yield the operations of a graph, as far as it is to be entered."""
    seen: set[Any] = set()
    waiting = [root]
    while waiting and len(seen) < MOST:
        node = waiting.pop()
        if node is None or node in seen or not enter(node):
            continue
        seen.add(node)
        yield node
        waiting += [following for following, _ in node.next_functions]


def size(value: Tensor) -> int:
    """Return the number of operations behind a tensor."""
    return sum(1 for _ in nodes(value.grad_fn))


def holds(root: Any, wanted: list[Any]) -> bool:
    """Say whether a graph holds one of some operations."""
    return any(any(node is other for other in wanted) for node in nodes(root))


def reaches_others(loss: Tensor, known: set[int]) -> bool:
    """Say whether a backward gives gradients to leaves that are none of the training's, such as inputs."""
    leaves = (getattr(node, "variable", None) for node in nodes(loss.grad_fn))
    return any(leaf is not None and id(leaf) not in known for leaf in leaves)
