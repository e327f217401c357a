"""Walks through autograd's graphs, back from a loss, and graphs that are kept from step to step."""

from __future__ import annotations

import ast
import re
from collections import deque
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from trainkit.findings import Finding
from trainkit.inspection.loop.following import functions
from trainkit.inspection.recording import flat
from trainkit.inspection.source import Line, called, unparse, walk
from trainkit.inspection.subject import found

if TYPE_CHECKING:
    from trainkit.inspection.loop.copies import Copies
    from trainkit.inspection.loop.train_step import Step

FEWEST = 4
"""Steps in which something must have grown."""
OF_TORCH = frozenset(vars(nn.Module()))
"""Attributes that every module has."""
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


def kept(copies: Copies) -> dict[str, list[Any]]:
    """Return the last operations of the graphs that the model, and what the user's step holds, keep, by name."""
    things = [*copies.held.items(), *((n, v) for owner in copies.owners for n, v in vars(owner).items())]
    for path, module in copies.model.named_modules():
        own = [(name, value) for name, value in vars(module).items() if name not in OF_TORCH]
        things += [(f"{path}.{name}".lstrip("."), value) for name, value in own]
    found_in: dict[str, list[Any]] = {}
    for name, thing in things:
        bounded = isinstance(thing, deque) and thing.maxlen is not None
        holds_some = isinstance(thing, list | tuple | dict | deque) and len(thing) < LONG and not bounded
        if holds_some or isinstance(thing, Tensor):
            tensors = flat(list(thing) if isinstance(thing, deque) else thing)
            if ends := [tensor.grad_fn for tensor in tensors if tensor.grad_fn is not None]:
                found_in[name] = ends
    return found_in


def grows(step: Step) -> Iterator[Finding]:
    """Tell of a loss whose graph grows from step to step."""
    sizes = [size(value) for value in step.seen.values if isinstance(value, Tensor)]
    if len(sizes) >= FEWEST and sizes[-1] > 1.5 * sizes[1] > 0 and sizes[-1] > sizes[-2] > sizes[1]:
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
    notes, backward = step.seen.beside, step.seen.events("backward")
    if notes is None or len(notes.graphs) < FEWEST or not backward:
        return
    for name, ends in notes.graphs[-1].items():
        before = [graphs.get(name, []) for graphs in notes.graphs]
        if not all(one and _is_held(one, other) for one, other in pairwise(before)) or _is_emptied(step, name):
            continue
        sizes = [sum(1 for end in some for _ in nodes(end)) for some in (before[0], ends)]
        yield found(
            "graph-kept",
            f"{step.place}: {name}",
            f"adds what still has a graph to {name}, step after step: it is not detached",
            severity="warning",
            at=_added(step, name) or step.at,
            evidence=f"{sizes[0]} operations behind {name} after one step, {sizes[1]} after {len(before)}",
            effect="no graph is ever freed: memory grows until it runs out",
            fix="Keep loss.item(), or loss.detach() where the device is not to wait",
        )
        return


def _is_held(before: list[Any], now: list[Any]) -> bool:
    """Say whether more than all that was kept after one step is kept after the next."""
    roots = {id(end) for end in now}
    return all(id(end) in roots or any(holds(other, [end]) for other in now) for end in before) and now != before


def _is_emptied(step: Step, name: str) -> bool:
    """Say whether the user's code empties, or sets anew, what has a name, be it after many steps."""
    last = re.escape(name.rpartition(".")[2])
    wanted = re.compile(
        rf"\b{last}\.(clear|pop|popleft)\(|\bdel [\w.]*{last}\b|\b{last}(\[:\])? = (\[\]|\{{\}}|None|0(\.0)?|list\(\))"
    )
    return any(wanted.search(unparse(code.node)) for code in functions(step))


def _added(step: Step, name: str) -> Line | None:
    """Return the line of the step that puts something into what has a name."""
    name = name.rpartition(".")[2]
    for node in walk(step.code.node) if step.code is not None else ():
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        into = called(node).rpartition(".")[0] if isinstance(node, ast.Call) else ""
        holders = [called(target) for target in targets if isinstance(target, ast.Name | ast.Attribute)]
        if step.code is not None and any(held.rpartition(".")[2] == name for held in (into, *holders)):
            return step.code.line(node)
    return None


RULES = (grows, kept_from_steps)
