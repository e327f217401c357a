"""Where the user's steps lead: up the loss, back to where they began, or to weights that were moved by hand."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.loop.around import ADAPTIVE
from trainkit.inspection.loop.following import functions
from trainkit.inspection.loop.moving import Move
from trainkit.inspection.source import Line, unparse, walk
from trainkit.inspection.step.climbing import minimised
from trainkit.inspection.subject import found

if TYPE_CHECKING:
    from trainkit.inspection.loop.train_step import Step

FEWEST = 3
"""Steps from which something that each of them does is no chance."""
ALONG = 0.3
"""Cosine of movement and gradient from which weights go up the loss."""
SHRINKS = 0.03
"""Share of themselves that weights lose by hand in a step, from which little is left after a hundred."""
DESIGNED = ("lr", "temperature", "langevin", "sgld", "multiplier", "max_norm", "clip", "sqrt(2")
"""Words of a line that adds noise of a size that was thought of."""
ANEW = 0.5
"""Change of the weights between two steps, relative to their size, from which they are taken to be others."""


def _cosine(one: Tensor, other: Tensor) -> float:
    size = float(one.norm() * other.norm())
    return float(one @ other) / size if size > 0 else 0.0


def _moves(step: Step) -> list[Move]:
    return step.seen.moves.steps if step.seen.moves is not None else []


def _line(step: Step, *words: str) -> Line | None:
    """Return the first line of the step, or of what it calls, whose statement holds one of some words."""
    for code in functions(step):
        for node in walk(code.node):
            if isinstance(node, ast.Assign | ast.AugAssign | ast.Expr) and any(w in unparse(node) for w in words):
                return code.line(node)
    return None


def ascends(step: Step) -> Iterator[Finding]:
    """Tell of weights that move along the gradient of the loss, and not against it."""
    moves = _moves(step)
    if len(step.subject.optimizers) != 1 or len(moves) < FEWEST or not minimised(step.subject):
        return
    if any(group.get("maximize") for group in step.subject.optimizers[0].param_groups):
        return  # told of the setting
    alongs = []
    for move in moves:
        if move.first is None or move.last is None or move.slope is None:
            return
        moved = move.last - move.first
        if bool(moved.any()):
            alongs.append(_cosine(moved, move.slope))
    if len(alongs) < FEWEST or min(alongs) < ALONG:
        return
    turned = all(move.factor is not None and move.factor < 0 for move in moves)
    by_hand = _line(step, ".grad.mul_(", ".grad.neg_(", ".grad *=", ".grad = -", ".grad.data.mul_(") if turned else None
    own = None if turned else _line(step, ".grad")
    yield found(
        "climbs-the-loss",
        f"{step.place}: {'grad' if turned else 'update'}",
        "turns the sign of the gradients before the step (negated): the weights climb the loss, gradient ascent"
        if turned
        else "moves the weights along the gradient, not against it: gradient ascent, the sign of the update is wrong "
        "(plus for minus), and the loss increases",
        at=by_hand or own or step.at,
        evidence=f"cosine of movement and gradient {min(alongs):.2f} or more in {len(alongs)} steps",
        effect="the loss grows without bound",
        fix="Leave the factor out" if turned else "p -= lr * p.grad: a step goes against the gradient",
    )


def thrown_away(step: Step) -> Iterator[Finding]:
    """Tell of weights that each step sets back, or draws anew, before it learns."""
    moves = _moves(step)
    pairs = [
        (one.stepped if one.stepped is not None else one.last, two.first, one.first)
        for one, two in itertools.pairwise(moves)
    ]
    if len(pairs) < FEWEST - 1 or not moves or moves[0].first is None:
        return
    first, back, anew = moves[0].first, True, True
    for learnt, now, before in pairs:
        if learnt is None or now is None or before is None or torch.equal(learnt, before):
            return
        back &= torch.equal(now, first)
        apart = float((now - learnt).norm()) / max(float(learnt.norm()), 1e-12)
        anew &= apart > ANEW and float((learnt - before).norm()) < apart * float(learnt.norm())
    if not back and not anew:
        return
    words = ("load_state_dict", ".copy_(") if back else (".apply(", "reset_parameters", "init", "normal_(", "uniform_(")
    how = (
        "sets the weights back to the same initial values (load_state_dict restores them)"
        if back
        else "initialises the weights anew (reset_parameters, init)"
    )
    yield found(
        "progress-thrown-away",
        f"{step.place}: {'load_state_dict' if back else 'init'}",
        f"{how} in every step: what the step before has learnt is thrown away (reset)",
        at=_line(step, *words) or step.at,
        evidence=f"{len(pairs)} steps each began with "
        + ("the very weights of the first one" if back else "weights unlike those that the step before left"),
        effect="nothing is ever learnt beyond one step",
        fix="Do it once, before training",
    )


def scaled(step: Step) -> Iterator[Finding]:
    """Tell of gradients, or losses, that are divided by the number of small batches a second time."""
    moves, counts = _moves(step), set[int]()
    if len(moves) < FEWEST or len(step.subject.optimizers) != 1 or step.seen.events("clip", "scale"):
        return
    for events, losses, move in zip(step.seen.steps, step.seen.losses, moves, strict=False):
        values = [event.value for event in events if event.kind == "backward"]
        factor = move.factor
        if move.passes < 2 or len(values) != move.passes or len(losses) != move.passes or factor is None:
            return
        share = [value / loss for value, loss in zip(values, losses, strict=True) if value is not None and loss]
        whole = 1 / move.passes**2
        if any(abs(factor * part - whole) > 1e-3 * whole for part in share) or not share:
            return
        counts.add(move.passes)
    if len(counts) != 1:
        return
    count = counts.pop()
    name = type(step.subject.optimizers[0]).__name__
    adaptive = any(word in name.lower() for word in ADAPTIVE)
    by_hand = _line(step, ".grad /=", ".grad.div_(", ".grad.mul_(", ".grad *=")
    lines = [event.line for event in step.seen.events("backward")]
    yield found(
        "accumulation-divided-twice",
        f"{step.place}: {'grad' if by_hand else 'backward'}",
        f"divides twice by the {count} small batches of an accumulation (gradient accumulation): the gradient is "
        f"{count} times smaller than that of one large batch",
        severity="info" if adaptive else "warning",
        at=by_hand or lines[0] or step.at,
        evidence=f"the step uses 1/{count**2} of the sum of the gradients of {count} losses",
        effect=f"{name} hardly minds" if adaptive else f"the rate is {count} times smaller than the one that is set",
        fix=f"Divide once: (loss / {count}).backward()",
    )


def not_back(step: Step) -> Iterator[Finding]:
    """Tell of a climb to perturbed weights from which the step does not come back."""
    moves = _moves(step)
    if len(moves) < FEWEST:
        return
    shares = []
    for move in moves:
        left = move.by_hand
        if move.climbed is None or left is None or move.optimized is None:
            return
        size = float(move.climbed.norm())
        if size == 0 or _cosine(left, move.climbed) < 0.99 or abs(float(left.norm()) / size - 1) > 0.1:
            return
        shares.append(size / max(float(move.optimized.norm()), 1e-30))
    yield found(
        "climb-not-undone",
        f"{step.place}: perturbation",
        "climbs to perturbed weights for a second gradient (SAM, ascent step), and never restores the weights: the "
        "perturbation stays in them",
        at=_line(step, ".add_(", "+=", ".data = ", ".copy_(") or step.at,
        evidence=f"what is moved by hand is {min(shares):.2g} times the optimizer's own step or more, and never taken "
        "back",
        effect="each step goes up the loss by hand and down by the optimizer",
        fix="Keep the weights before the climb, and restore them (p.sub_(e) or p.copy_(old)) before optimizer.step()",
    )


def drowned(step: Step) -> Iterator[Finding]:
    """Tell of gradients that something many times larger is added to."""
    moves = _moves(step)
    if len(moves) < FEWEST or len(step.subject.optimizers) != 1 or step.seen.events("scale"):
        return
    shares = []
    for move in moves:
        if move.slope is None or move.used is None or not bool(move.slope.any()):
            return
        size = float(move.slope.norm())
        shares.append(float((move.used - move.slope).norm()) / size)
        if shares[-1] < 10 or abs(_cosine(move.used, move.slope)) > ALONG:
            return
    at = _line(step, ".grad.add_(", ".grad +=", ".grad =", ".grad.data")
    if at is not None and any(word in at.text.lower() for word in DESIGNED):
        return  # Langevin dynamics, or privacy: as large as the rate or the limit asks
    yield found(
        "gradient-drowned",
        f"{step.place}: grad",
        "adds to the gradients, between backward() and step(), noise (or something else) that is far larger than they "
        "are: the gradient drowns in it",
        severity="warning",
        at=at or step.at,
        evidence=f"what is added is {min(shares):.3g} times as large as the gradient or more, in {len(shares)} steps",
        effect="the weights do a random walk",
        fix="Scale the noise to the gradient, such as 0.01 * p.grad.norm() / p.grad.numel() ** 0.5",
    )


def shrunk(step: Step) -> Iterator[Finding]:
    """Tell of weights that each step shrinks by hand, by much more than it learns."""
    moves = _moves(step)
    if len(moves) < FEWEST or len(step.subject.optimizers) != 1:
        return
    shares = []
    for move in moves:
        by_hand = move.by_hand
        if by_hand is None or move.first is None or move.optimized is None or not bool(move.optimized.any()):
            return
        share = float(by_hand.norm()) / max(float(move.first.norm()), 1e-12)
        if share < SHRINKS or _cosine(by_hand, move.first) > -0.98:
            return
        shares.append(share)
    yield found(
        "weights-shrunk",
        f"{step.place}: weights",
        f"shrinks all weights by {min(shares):.2g} of themselves in every step, by hand: weight decay without the "
        "learning rate?",
        at=_line(step, ".mul_(", "*=", ".sub_(", ".copy_(", ".data =") or step.at,
        evidence=f"after {len(shares)} steps {(1 - min(shares)) ** len(shares):.0%} of the first weights are left",
        effect="the weights go to 0, and what is learnt is forgotten in a few steps",
        fix="p.mul_(1 - lr * weight_decay), or AdamW(weight_decay=...)",
    )


RULES = (drowned, shrunk, ascends, thrown_away, scaled, not_back)
