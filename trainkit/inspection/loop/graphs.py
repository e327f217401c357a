"""Walks through autograd's graphs, back from a loss, and graphs that are kept from step to step."""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.recording import flat
from trainkit.inspection.source import Line, called, walk
from trainkit.inspection.subject import found

if TYPE_CHECKING:
    from trainkit.inspection.loop.copies import Copies
    from trainkit.inspection.loop.train_step import Step

FEWEST = 4
"""Steps in which something must have grown."""
LONG = 10_000
"""Items of a list from which it holds data, not what some steps left."""
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


def kept(copies: Copies) -> dict[str, int]:
    """Return the operations behind what the model, and what the user's step holds, keep of graphs, by name."""
    things = [*copies.held.items(), *((n, v) for owner in copies.owners for n, v in vars(owner).items())]
    things += [(name, value) for module in copies.model.modules() for name, value in vars(module).items()]
    found_in: dict[str, int] = {}
    for name, thing in things:
        bounded = isinstance(thing, deque) and thing.maxlen is not None
        holds_some = isinstance(thing, list | tuple | dict | deque) and len(thing) < LONG and not bounded
        if not name.startswith("_") and (holds_some or isinstance(thing, Tensor)):
            behind = sum(size(tensor) for tensor in flat(thing) if tensor.grad_fn is not None)
            if behind:
                found_in[name] = behind
    return found_in


def grows(step: Step) -> Iterator[Finding]:
    """Tell of a loss whose graph grows from step to step."""
    sizes = [size(value) for value in step.seen.values if isinstance(value, Tensor)]
    if _is_growing(sizes):
        yield found(
            "graph-grows",
            f"{step.place}: loss",
            "keeps the graphs of all steps: the loss hangs on the steps before",
            at=step.at,
            evidence=f"{sizes[0]} operations behind the first loss, {sizes[-1]} behind the one of step {len(sizes)}",
            effect="memory grows until it is used up, and backward runs through old steps",
            fix="Keep loss.detach() or loss.item()",
        )


def kept_from_steps(step: Step) -> Iterator[Finding]:
    """Tell of what is kept of each step, for a curve or a mean, with the graph that made it."""
    notes = step.seen.beside
    if notes is None or len(notes.graphs) < FEWEST:
        return
    for name in notes.graphs[-1]:
        sizes = [graphs.get(name, 0) for graphs in notes.graphs]
        if not _is_growing(sizes):
            continue
        yield found(
            "graph-kept",
            f"{step.place}: {name}",
            f"adds what still has a graph to {name}, step after step: it is not detached",
            severity="warning",
            at=_added(step, name) or step.at,
            evidence=f"{sizes[0]} operations behind {name} after one step, {sizes[-1]} after {len(sizes)}",
            effect="no graph is ever freed: memory grows until it runs out",
            fix="Keep loss.item(), or loss.detach() where the device is not to wait",
        )
        return


def _is_growing(sizes: list[int]) -> bool:
    return len(sizes) >= FEWEST and sizes[-1] > 1.5 * sizes[1] > 0 and sizes[-1] > sizes[-2] > sizes[1]


def _added(step: Step, name: str) -> Line | None:
    """Return the line of the step that puts something into what has a name."""
    for node in walk(step.code.node) if step.code is not None else ():
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        into = called(node).rpartition(".")[0] if isinstance(node, ast.Call) else ""
        holders = [called(target) for target in targets if isinstance(target, ast.Name | ast.Attribute)]
        if step.code is not None and any(held.rpartition(".")[2] == name for held in (into, *holders)):
            return step.code.line(node)
    return None


RULES = (grows, kept_from_steps)
