"""Losses on three embeddings, anchor, positive and negative: which pair they pull together and which apart."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.recording import Fact, flat
from trainkit.inspection.source import tree, unparse, walk
from trainkit.inspection.step.objectives import judged, outputs_of
from trainkit.inspection.step.terms import where
from trainkit.inspection.step.view import View, seen
from trainkit.inspection.subject import Subject, found, unpacked

DRAWS = 3
"""Sets of free embeddings on which a loss is tried."""
SURE = 0.9
"""Share of the samples whose pair must be pulled or pushed."""
STEP = 1e-3
"""Length of the step down the slope, in lengths of an embedding."""
CLEAR = 3.0
"""Standard errors from which inputs tell which of two is the nearer one."""


def triplet_turned(subject: Subject) -> Iterator[Finding]:
    """Find a triplet loss that pulls the negative and pushes the positive."""
    view = seen(subject)
    judge = judged(view) if view is not None else None
    outputs = outputs_of(view) if view is not None else None
    if view is None or judge is None or outputs is None or _three(outputs) is None:
        return
    target = unpacked(subject.batch)[1]
    if isinstance(target, Tensor) and isinstance(outputs, Tensor) and target.shape == outputs.shape:
        return
    try:
        shares = [_pulled(judge, outputs, target, seed) for seed in range(DRAWS)]
    except Exception:  # noqa: BLE001 - a loss may take its outputs in a form of its own
        return
    known = [share for share in shares if share is not None]
    if len(known) < DRAWS or any(positive > 1 - SURE or negative < SURE for positive, negative in known):
        return
    if _nearer(view) == "third" or _is_third(subject):
        return  # the data's order is anchor, negative, positive
    ends = [op for op in view.path if op.module is None and op.own and op.name in ("sub", "rsub")]
    place, line = where(view, ends[-1], "sign") if ends else ("loss: sign", view.loss_line)
    yield found(
        "triplet-turned",
        place,
        "is a triplet loss with the wrong sign: it pulls the negative to the anchor and pushes the positive away",
        at=line or view.loss_line,
        evidence=f"one step on free embeddings moves anchor and positive apart in {1 - known[0][0]:.0%} of the "
        f"samples, and anchor and negative together in {known[0][1]:.0%}",
        effect="the embeddings are trained to hold different classes together: they are worse than untrained",
        fix="loss = relu(positive_distance - negative_distance + margin).mean()",
    )


def _three(outputs: Any) -> tuple[Tensor, Tensor, Tensor] | None:
    """Return anchor, positive and negative of outputs (N, 3, D), or three of (N, D); None of any others."""
    if isinstance(outputs, Tensor):
        fits = outputs.dim() == 3 and outputs.shape[1] == 3 and outputs.is_floating_point()
        return outputs.unbind(1) if fits else None  # type: ignore[return-value]
    tensors = list(flat(outputs))
    alike = len(tensors) == 3 and len({tensor.shape for tensor in tensors}) == 1
    if not alike or tensors[0].dim() != 2 or not tensors[0].is_floating_point():
        return None
    return tensors[0], tensors[1], tensors[2]


def _pulled(judge: Callable[[Any, Any], Tensor], outputs: Any, target: Any, seed: int) -> tuple[float, float] | None:
    """Return in which share of samples a step brings anchor and positive, and anchor and negative, together."""
    generator = torch.Generator().manual_seed(seed)
    points = [
        torch.nn.functional.normalize(torch.randn(one.shape, generator=generator).to(one), dim=-1).requires_grad_()
        for one in flat(outputs)
    ]
    value = judge(points[0] if isinstance(outputs, Tensor) else tuple(points), target)
    slopes = torch.autograd.grad(value, points, allow_unused=True)
    if any(slope is None for slope in slopes):
        return None
    largest = max(float(slope.abs().max()) for slope in slopes)
    if not 0 < largest < float("inf"):
        return None
    moved = [(point - STEP * slope / largest).detach() for point, slope in zip(points, slopes, strict=True)]
    before = _three(points[0].detach() if len(points) == 1 else tuple(point.detach() for point in points))
    after = _three(moved[0] if len(moved) == 1 else tuple(moved))
    assert before is not None
    assert after is not None
    positive, negative = ((after[0] - after[at]).norm(dim=-1) - (before[0] - before[at]).norm(dim=-1) for at in (1, 2))
    used = (positive != 0) & (negative != 0)
    if int(used.sum()) < max(4, len(used) // 4):
        return None
    return float((positive[used] < 0).float().mean()), float((negative[used] < 0).float().mean())


def _nearer(view: View) -> str:
    """Return which input is clearly the more like the first, the ``second`` or the ``third``; empty if neither."""
    parts = _inputs(view.inputs)
    if parts is None:
        return ""
    first, second, third = (part.flatten(1).double() for part in parts)
    gap = (first - second).norm(dim=1) - (first - third).norm(dim=1)
    error = float(gap.std()) / max(len(gap), 1) ** 0.5
    if len(gap) < 4 or error == 0 or abs(float(gap.mean())) < CLEAR * error:
        return ""
    return "second" if float(gap.mean()) < 0 else "third"


def _is_third(subject: Subject) -> bool:
    """Say whether the user names the negative before the positive where three are taken or given together."""
    for file in subject.files:
        whole = tree(file)
        for node in walk(whole) if whole is not None else ():
            if isinstance(node, ast.Tuple | ast.List) and len(node.elts) == 3:
                last = [unparse(item).rpartition(".")[2].lower() for item in node.elts[1:]]
                if last[0].startswith(("n", "other", "diff")) and last[1].startswith(("p", "same", "sim")):
                    return True
    return False


def _inputs(facts: tuple[Fact, ...]) -> list[Tensor] | None:
    tensors = [fact.tensor for fact in facts if fact.tensor is not None and fact.tensor.is_floating_point()]
    if len(tensors) == 1 and tensors[0].dim() > 2 and tensors[0].shape[1] == 3:
        return list(tensors[0].unbind(1))
    return tensors if len(tensors) == 3 and len({tensor.shape for tensor in tensors}) == 1 else None


RULES = (triplet_turned,)
