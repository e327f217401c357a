"""What a user's step does around its gradients that is none of its business: seeds, autocast, sums that come late."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.loop.around import ADAPTIVE
from trainkit.inspection.loop.following import functions
from trainkit.inspection.loop.graphs import nodes
from trainkit.inspection.loop.moving import Move
from trainkit.inspection.source import Code, Line, called, unparse, walk
from trainkit.inspection.subject import found

if TYPE_CHECKING:
    from trainkit.inspection.loop.train_step import Step

SEEDS = ("manual_seed", "manual_seed_all", "seed", "set_rng_state", "seed_everything", "set_seed", "seed_all")
FEWEST = 3
SQUARES = frozenset(
    f"{kind}Backward"
    for kind in ("Pow", "Sum", "Mul", "Add", "Div", "Dot", "LinalgVectorNorm", "Norm", "View", "Cat", "Stack", "Unbind")
)
"""Operations of autograd in a sum of squares."""


def seeded(step: Step) -> Iterator[Finding]:
    """Tell of generators that each step seeds anew."""
    moves = step.seen.moves
    if moves is None or not (names := moves.seeded):
        return
    code, call = _seeding(step)
    grave = "torch" in names and moves.draws
    name = called(call).rpartition(".")[2] if call is not None else "manual_seed"
    yield found(
        "seed-in-step",
        f"{step.place}: {name}",
        f"sets the seed of the whole process in every step ({', '.join(names)} manual_seed): each step draws the same "
        "noise, dropout mask and augmentation, and the data are shuffled alike in every epoch",
        severity="error" if grave else "warning",
        at=code.line(call) if code is not None and call is not None else step.at,
        evidence=f"the generator ({', '.join(names)}) is in one state after every step",
        effect="what is to be random is the same in every step",
        fix="Seed once, before training; use a torch.Generator of its own for what is to be repeated",
    )


def _seeding(step: Step) -> tuple[Code | None, ast.Call | None]:
    """Return the call in the step that seeds; the step's own call of a function that does."""
    inner = {getattr(code.node, "name", "") for code in functions(step) if any(code.calls(*SEEDS))}
    calls = list(step.code.calls(*SEEDS, *inner)) if step.code is not None else []
    if calls:
        return step.code, calls[0]
    for code in functions(step):
        for call in code.calls(*SEEDS):
            return code, call
    return None, None


def under_autocast(step: Step) -> Iterator[Finding]:
    """Tell of a backward pass inside autocast, as an aside."""
    moves = step.seen.moves
    if moves is None or not moves.autocast:
        return
    yield found(
        "backward-under-autocast",
        f"{step.place}: autocast",
        "runs backward() inside torch.autocast: it is recommended to leave autocast after the loss, backward runs "
        "outside of it in the dtypes that forward chose",
        severity="info",
        at=_autocast(step) or moves.autocast[0] or step.at,
        evidence=f"{len(moves.autocast)} backward passes under autocast",
        effect="backward operations may run in another precision than meant",
        fix="Indent only forward and loss under `with torch.autocast(...)`",
    )


def _autocast(step: Step) -> Line | None:
    for code in functions(step):
        for node in walk(code.node):
            if isinstance(node, ast.With) and any("autocast" in unparse(item) for item in node.items):
                return code.line(node)
    return None


def again(step: Step) -> Iterator[Finding]:
    """Tell of a loss that goes backward alone, and once more as a part of another."""
    moves = step.seen.moves
    if moves is None or len(moves.again) < max(FEWEST, len(step.seen.steps) - 1):
        return
    yield found(
        "loss-backward-twice",
        f"{step.place}: backward",
        "goes backward through a loss that went backward before (retain_graph=True): its gradient is counted twice, "
        "double",
        severity="warning",
        at=moves.again[0] or step.at,
        evidence=f"{len(moves.again)} times in {len(step.seen.steps)} steps, with no zero_grad() in between",
        effect="this loss weighs twice as much as it is meant to",
        fix="Add the losses up and call backward() once, without retain_graph",
    )


def not_minimised(step: Step) -> Iterator[Finding]:
    """Tell of a term of weights that is added to the loss where no backward pass goes."""
    notes, moves = step.seen.beside, step.seen.moves
    if notes is None or moves is None or not step.seen.events("backward") or len(step.seen.values) < FEWEST:
        return
    if any(_is_moved_by_hand(move) for move in moves.steps):
        return  # a proximal step minimises a term without its gradient
    known = {id(p) for p in notes.copies.model.parameters()}
    late: list[Line | None] = []
    for value in step.seen.values:
        root, line = _returned(value, moves.shown)
        if root is None or root in notes.reached:
            return
        inside = list(nodes(root))
        if not any(node in notes.reached and not hasattr(node, "variable") for node in inside):
            return  # computed anew, after the step
        apart = nodes(root, lambda node: node not in notes.reached or hasattr(node, "variable"))
        rest = list(apart)
        if not _has_weight(rest, notes.reached, known) or _is_decay(step, rest):
            return
        late.append(line)
    yield found(
        "term-never-minimised",
        f"{step.place}: loss",
        "returns a loss with a term (a penalty, a second loss) that backward() never goes through: it is added after "
        "backward(), or backward() is called on a part of the sum",
        at=_added(step) or late[0] or step.at,
        evidence=f"in {len(late)} steps what is returned hangs on weights by a way that has no gradient",
        effect="the term is reported and never minimised: no gradient, no regularisation",
        fix="Add all terms up first, and call backward() on the sum that is returned",
    )


def _is_moved_by_hand(move: Move) -> bool:
    moved, optimized = move.by_hand, move.optimized
    return moved is None or optimized is None or float(moved.norm()) > 1e-3 * float(optimized.norm())


def _returned(value: Any, shown: list[tuple[float, Any, Line | None]]) -> tuple[Any, Line | None]:
    """Return the graph and the line of what a step gave, be it a tensor or a number."""
    if isinstance(value, Tensor) and value.grad_fn is not None:
        return value.grad_fn, None
    for number, root, line in shown:
        if isinstance(value, float | int) and root is not None and float(value) == number:
            return root, line
    return None, None


def _is_decay(step: Step, apart: list[Any]) -> bool:
    """Say whether a term is made of squares of weights alone, which the optimizer's weight decay minimises."""
    decays = any(group.get("weight_decay") for o in step.subject.optimizers for group in o.param_groups)
    kinds = {type(node).__name__.rstrip("0123456789") for node in apart if not hasattr(node, "variable")}
    return decays and kinds <= SQUARES and any("Pow" in kind or "Norm" in kind or "Dot" in kind for kind in kinds)


def _has_weight(inside: list[Any], reached: set[Any], known: set[int]) -> bool:
    """Say whether a weight is read by an operation that no backward pass reached."""
    for node in inside:
        if node in reached:
            continue
        leaves = [following for following, _ in node.next_functions if hasattr(following, "variable")]
        if any(id(leaf.variable) in known for leaf in leaves):
            return True
    return False


def _added(step: Step) -> Line | None:
    """Return the line that adds to the loss after the last backward pass."""
    last = max((event.line.line for event in step.seen.events("backward") if event.line is not None), default=0)
    for node in walk(step.code.node) if step.code is not None else ():
        late = isinstance(node, ast.Assign | ast.AugAssign | ast.Return) and node.lineno > last
        adds = any(isinstance(inner, ast.BinOp | ast.AugAssign) for inner in walk(node))
        if late and adds and step.code is not None and "loss" in unparse(node).lower():
            return step.code.line(node)
    return None


def forgotten(step: Step) -> Iterator[Finding]:
    """Tell of an optimizer whose state each step empties."""
    for optimizer in step.subject.optimizers:
        if not any(word in type(optimizer).__name__.lower() for word in ADAPTIVE) and not optimizer.defaults.get(
            "momentum"
        ):
            return
    notes = step.seen.beside
    line = next((step.code.line(call) for call in _clearing(step) if step.code is not None), None)
    if notes is None or line is None or any(optimizer.state for optimizer in notes.copies.optimizers):
        return
    yield found(
        "optimizer-state-lost",
        f"{step.place}: optimizer.state",
        "empties the optimizer's state in every step: its momentum and averages (Adam's) are lost each time",
        severity="warning",
        at=line,
        evidence=f"the state is empty after {len(step.seen.steps)} steps",
        effect="every step is a first step: Adam's moves each weight by the rate, whatever the gradient",
        fix="Leave optimizer.state alone",
    )


def _clearing(step: Step) -> Iterator[ast.AST]:
    for node in walk(step.code.node) if step.code is not None else ():
        if isinstance(node, ast.Expr | ast.Assign) and ".state" in unparse(node):
            text = unparse(node)
            if "clear(" in text or (isinstance(node, ast.Assign) and ".state" in unparse(node.targets[0])):
                yield node


def unfrozen(step: Step) -> Iterator[Finding]:
    """Tell of weights that are unfrozen in training, and are in no optimizer."""
    frozen = {name for name, p in step.subject.model.named_parameters() if not p.requires_grad}
    names = sorted(step.seen.unheld & frozen)
    if not names or not step.subject.optimizers:
        return
    yield found(
        "unfrozen-not-in-optimizer",
        f"{step.place}: {names[0].split('.')[0]}",
        f"unfreezes {', '.join(names[:3])} (requires_grad = True), which are not in the optimizer: it was made while "
        "they were frozen",
        at=_unfreezing(step) or step.at,
        evidence=f"{len(names)} weights get gradients from then on, and no optimizer has them",
        effect="they stay as they are: unfreezing has no effect",
        fix="optimizer.add_param_group({'params': backbone.parameters()}) then, or give it all parameters at first",
    )


def _unfreezing(step: Step) -> Line | None:
    for code in functions(step):
        for node in walk(code.node):
            text = unparse(node) if isinstance(node, ast.Assign | ast.Expr) else ""
            if ("requires_grad" in text and "True" in text) or text.endswith("requires_grad_()"):
                return code.line(node)
    return None


def rate_overwritten(step: Step) -> Iterator[Finding]:
    """Tell of a rate that the step sets in every step, beside a schedule, or that stays 0."""
    notes, at = step.seen.beside, _rate_set(step)
    rates = notes.rates if notes is not None else []
    if at is None or len(rates) < FEWEST:
        return
    if not any(rates) and len(rates) > FEWEST and not step.subject.schedulers:
        yield found(
            "rate-stays-zero",
            f"{step.place}: lr",
            f"sets the learning rate to 0 in each of {len(rates)} steps: integer division, or a warm-up stuck at 0",
            at=_divided(step) or at,
            evidence=f"lr is 0 in the first {len(rates)} steps of the optimizer",
            effect="nothing is trained as long as the rate is zero",
            fix="min(1.0, (step + 1) / warmup): / and not //",
        )
    elif step.subject.schedulers and len(set(rates)) == 1 and not step.seen.events("schedule"):
        yield found(
            "schedule-overwritten",
            f"{step.place}: lr",
            f"writes lr={rates[0]:g} into the optimizer's param_groups in every step: the scheduler has no effect",
            at=at,
            evidence=f"{type(step.subject.schedulers[0]).__name__} sets the rate too, and each step overwrites it",
            effect="the rate never follows its schedule",
            fix='Leave group["lr"] to the scheduler',
        )


def _rate_set(step: Step) -> Line | None:
    """Return the line that sets a group's rate under no condition."""
    for code in functions(step):
        guarded = {id(n) for node in walk(code.node) if isinstance(node, ast.If) for n in walk(node)}
        for node in walk(code.node):
            target = node.targets[0] if isinstance(node, ast.Assign) else None
            rate = isinstance(target, ast.Subscript) and getattr(target.slice, "value", None) == "lr"
            if rate and id(node) not in guarded:
                return code.line(node)
    return None


def _divided(step: Step) -> Line | None:
    for code in functions(step):
        for node in walk(code.node):
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.FloorDiv):
                return code.line(node)
    return None


RULES = (seeded, under_autocast, again, not_minimised, forgotten, unfrozen, rate_overwritten)
