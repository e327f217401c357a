"""Losses that hold embeddings against each other: what counts as a pair, and what keeps all from becoming one."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.probes.origins import origin
from trainkit.inspection.recording import Fact, Op
from trainkit.inspection.source import called, walk
from trainkit.inspection.step.axioms import at_loss, tried, worth
from trainkit.inspection.step.slopes import sloped
from trainkit.inspection.step.terms import where
from trainkit.inspection.step.triplets import CLEAR
from trainkit.inspection.step.view import SHAPING, TARGET, WEIGHT, View, seen, tensor_of
from trainkit.inspection.subject import Subject, found

SCALING = SHAPING | {"div", "truediv", "mul", "rmul", "float", "to", "clone"}
"""Operations through which similarities stay similarities."""
RANKING = ("argmin", "argmax", "topk", "kthvalue", "argsort", "cdist", "argpartition", "kneighbors", "query", "pdist")
"""Calls that choose by distance or similarity."""
ALL = 0.95
"""Part of the weight of a row's negatives from which its diagonal is one of them."""
JUDGES = ("cross_entropy", "log_softmax", "logsumexp", "softmax")


def with_itself(subject: Subject) -> Iterator[Finding]:
    """Find similarities of all samples with all, in which each is also held against itself."""
    view = seen(subject)
    if view is None:
        return
    for op in view.path:
        if op.name not in JUDGES or op.module is not None or not op.inputs:
            continue
        product = _all_pairs(view, op.inputs[0])
        scores = tensor_of(op.inputs[0])
        if product is None or scores is None or scores.dim() != 2 or len(scores) < max(view.size, 4):
            continue
        diagonal = scores.diagonal()
        if not bool((diagonal >= scores.amax(1) - 1e-3 * scores.abs().amax()).all()) or bool((diagonal == 0).all()):
            continue
        labels = tensor_of(op.inputs[1]) if op.name == "cross_entropy" and len(op.inputs) > 1 else None
        own = labels is not None and labels.dim() == 1 and torch.equal(labels, torch.arange(len(labels)).float())
        if not own and not _is_pushed(subject, op.inputs[0], scores):
            continue
        place, line = where(view, op, "similarities")
        yield found(
            "pair-with-itself",
            place,
            "takes each sample itself (the diagonal of the similarities) for its positive: the labels are 0, 1, 2, ... "
            "of one matrix z @ z.T, which any embedding satisfies"
            if own
            else "keeps the diagonal: each sample's similarity with itself is among the candidates (negatives) of the "
            "softmax, and is the largest of all; it is not masked",
            at=(op.inputs[1].maker.line if own and op.inputs[1].maker is not None else product.line)
            or line
            or view.loss_line,
            evidence=f"in all {len(scores)} rows the diagonal of the {tuple(scores.shape)} similarities is the largest",
            effect="the task is trivial: views of one sample are not drawn together"
            if own
            else "no positive can win against the sample itself: the loss stays high and its gradient is weak",
            fix="sim = sim.masked_fill(torch.eye(len(sim), dtype=torch.bool), -1e9)"
            + ("; the label of row i is that of its other view: (i + n) % (2 * n)" if own else ""),
        )
        return


def _is_pushed(subject: Subject, fact: Fact, scores: Tensor) -> bool:
    """Say whether the loss pushes the diagonal down by all of its share of the softmax, as it does with negatives.

    Where similarities are to be spread as others are, a teacher's, the diagonal has a share that is due to it.
    """
    taken = sloped(subject)
    slope = taken[1].get(fact.number) if taken is not None else None
    if slope is None or slope.shape != scores.shape:
        return True
    pushed = slope.double() / scores.double().softmax(1).clamp_min(1e-12)
    itself, most = pushed.diagonal()[slope.any(1)], pushed.amax(1)[slope.any(1)]
    return bool((itself > 0).all() and (itself >= ALL * most).all())


def _all_pairs(view: View, fact: Fact) -> Op | None:
    """Return the product of a matrix with its own transpose that similarities are, perhaps divided by a temperature."""
    while fact.maker is not None and fact.maker.name in SCALING and fact.maker.inputs:
        fact = fact.maker.inputs[0]
    op = fact.maker
    if op is None or op.name not in ("matmul", "mm") or len(op.inputs) != 2 or op.module is not None:
        return None
    one, two = (_unshaped(item) for item in op.inputs)
    return op if one is two and WEIGHT in view.came(one) else None


def _unshaped(fact: Fact) -> Fact:
    while fact.maker is not None and fact.maker.inputs and fact.maker.name in SHAPING:
        fact = fact.maker.inputs[0]
    return fact


def collapse(subject: Subject) -> Iterator[Finding]:
    """Find a loss that only draws outputs together: equal outputs for all are its best, and nothing forbids it."""
    case = tried(subject)
    if case is None or not isinstance(case[2], tuple):
        return
    view, judge, outputs, target = case
    if any(TARGET in view.came(loss) for loss in view.losses) or len({item.shape for item in outputs}) != 1:
        return
    if not 2 <= len(outputs) <= 4 or outputs[0].dim() != 2 or outputs[0].shape[1] < 2 or len(outputs[0]) < 8:
        return
    if not all(fact.requires_grad and WEIGHT in view.came(fact) for fact in view.outputs):
        return
    if any(not fact.grad_norm for fact in view.outputs):
        return  # a branch is detached, as it should be
    g = torch.Generator().manual_seed(0)
    row = torch.randn(outputs[0].shape[1], generator=g).to(outputs[0])
    alone = torch.randn(outputs[0].shape, generator=g).to(outputs[0])
    same = worth(judge, tuple(row.expand_as(item).clone() for item in outputs), target)
    apart = worth(judge, tuple(alone.clone() for _ in outputs), target)
    other = worth(judge, tuple(torch.randn(item.shape, generator=g).to(item) for item in outputs), target)
    one_off = [
        worth(judge, tuple(5 * alone if at == number else row.expand_as(alone) for at in range(len(outputs))), target)
        for number in range(len(outputs))
    ]
    least = min((apart + 1e-5 * max(abs(apart), 1.0), *(value - 1e-5 for value in one_off)))
    if not (same <= least and same < other - 1e-3 * max(abs(other), 1.0)):
        return
    place, line = at_loss(view, "collapse", "cosine_similarity", "mse_loss", "sub")
    yield found(
        "nothing-forbids-collapse",
        place,
        "only draws the two outputs together, and both send their gradient back: equal embeddings for all inputs are "
        "its best answer (representation collapse); there are no negatives and no stop-gradient (detach)",
        at=line,
        evidence=f"loss {same:.4g} for one constant vector, {apart:.4g} for a different one for each sample, now "
        f"{float(view.losses[0].low or 0.0):.4g}",
        effect="the encoder learns to give a constant",
        fix="loss = -F.cosine_similarity(p1, z2.detach(), dim=1).mean(), or add negatives (InfoNCE)",
    )


def pairs_turned(subject: Subject) -> Iterator[Finding]:
    """Find a loss on pairs that draws those together whose inputs are unlike, and pushes those apart that are alike."""
    case = tried(subject)
    if case is None or not isinstance(case[2], tuple) or not isinstance(case[3], Tensor):
        return
    view, judge, outputs, target = case
    tensors = [fact.tensor for fact in view.inputs if fact.tensor is not None and fact.tensor.is_floating_point()]
    flags = target.flatten() if target.numel() == view.size else None
    if len(outputs) != 2 or len(tensors) != 2 or flags is None or tensors[0].shape != tensors[1].shape:
        return
    if outputs[0].shape != outputs[1].shape or outputs[0].dim() != 2 or len(flags) < 16:
        return
    low, high = flags.min(), flags.max()
    if low == high or not bool(((flags == low) | (flags == high)).all()):
        return
    apart = (tensors[0] - tensors[1]).flatten(1).double().norm(dim=1)
    up, down = apart[flags == high], apart[flags == low]
    if min(len(up), len(down)) < 4:
        return
    error = float((up.var() / len(up) + down.var() / len(down)) ** 0.5)
    gap = float(up.mean() - down.mean())
    if abs(gap) < 2 * CLEAR * error or abs(gap) < 0.1 * float(apart.mean()):
        return
    drawn = [_draws(judge, outputs, target, flags == kind) for kind in (low, high)]
    far = int(gap > 0)  # the label of the pairs that are unlike: that of high, or of low
    if drawn[1 - far] is True and not _pushes(judge, outputs, target, flags == (high if far else low)):
        place, line = at_loss(view, "margin", "relu", "clamp", "rsub", "sub")
        yield found(
            "pairs-turned",
            place,
            "pulls similar pairs together and never pushes the others (negatives) apart: the margin has the wrong "
            "sign, or the term is missing, and all embeddings collapse to one point",
            at=line,
            evidence="with embeddings of any size, moving the unlike pairs apart does not lower the loss",
            effect="everything becomes alike: a constant embedding has the least loss",
            fix="loss = same * d ** 2 + (1 - same) * relu(margin - d) ** 2",
        )
        return
    if drawn[0] is None or drawn[1] is None or drawn[0] == drawn[1] or _is_mined(subject):
        return
    if drawn[0] is not (gap > 0):  # the pairs that are drawn together are the unlike ones
        name = float(high if drawn[1] else low)
        place, line = at_loss(view, "pairs", "mul", "rmul", "add")
        yield found(
            "pairs-turned",
            place,
            f"pulls the pairs labelled {name:g} together and pushes the others apart, but in the data the others are "
            "the similar ones: the meaning of the label is inverted (positive and negative pairs are swapped)",
            severity="error",
            at=line,
            evidence=f"mean distance of the inputs {float(up.mean()):.3g} where the label is {float(high):g}, "
            f"{float(down.mean()):.3g} where it is {float(low):g}",
            effect="similar samples are pushed apart, and different ones become alike",
            fix="loss = same * d ** 2 + (1 - same) * relu(margin - d) ** 2",
        )


def _is_mined(subject: Subject) -> bool:
    """Say whether the source of the pairs ranks distances: a negative that was chosen as near is no similar one."""
    made = origin(subject, "train_set")
    calls = (call for part in (made.parts if made is not None else ()) for call in walk(part))
    return any(called(call).rpartition(".")[2] in RANKING for call in calls if isinstance(call, ast.Call))


def _pushes(judge: object, outputs: tuple[Tensor, ...], target: Tensor, chosen: Tensor) -> bool:
    """Say whether a loss pushes some pairs apart, with embeddings of any size."""
    sizes = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    return any(_draws(judge, tuple(size * item for item in outputs), target, chosen) is False for size in sizes)


def _draws(judge: object, outputs: tuple[Tensor, ...], target: Tensor, chosen: Tensor) -> bool | None:
    """Say whether a loss falls when the pairs that are chosen come together; None if it cannot be told."""
    assert callable(judge)
    half = (outputs[0] - outputs[1]) / 2
    kept = chosen.to(half.device)[:, None]
    near, far = (
        worth(
            judge,
            (
                torch.where(kept, outputs[0] - step * half, outputs[0]),
                torch.where(kept, outputs[1] + step * half, outputs[1]),
            ),
            target,
        )
        for step in (0.1, -0.1)
    )
    if near == far or near != near or far != far:
        return None
    return near < far


def kept_in_sum(subject: Subject) -> Iterator[Finding]:
    """Find a softmax over similarities written by hand whose sum holds each sample's similarity with itself."""
    view = seen(subject)
    if view is None:
        return
    for op in view.path:
        made = op.inputs[0].maker if op.name == "sum" and op.inputs and op.module is None else None
        if made is None or made.name != "exp" or len(op.inputs[0].shape) != 2 or op.outputs[0].shape == ():
            continue
        product = _all_pairs(view, made.inputs[0])
        values = tensor_of(op.inputs[0])
        if product is None or values is None or len(values) < max(view.size, 4):
            continue
        diagonal = values.diagonal()
        largest = bool((diagonal >= values.amax(1) * 0.999).all())
        if largest and not _is_taken_off(view, op, made) and _is_pushed(subject, made.inputs[0], values.log()):
            place, line = where(view, made, "similarities")
            yield found(
                "pair-with-itself",
                place,
                "keeps the diagonal: each sample's similarity with itself is among those that the softmax sums over "
                "(the negatives), and is the largest of all; it is not masked",
                at=made.line or line or view.loss_line,
                evidence=f"in all {len(values)} rows the diagonal of the similarities is the largest",
                effect="no positive can win against the sample itself: the loss stays high and its gradient is weak",
                fix="exp_sim = torch.exp(sim) * (1 - torch.eye(len(sim)))",
            )
            return


def _is_taken_off(view: View, op: Op, made: Op) -> bool:
    """Say whether the diagonal is subtracted after the sum."""
    readers = view.readers.get(op.outputs[0].number, [])
    subtracts = any(item.name in ("sub", "rsub") for item in readers)
    return subtracts or any(item.name in ("diagonal", "diag") for item in view.readers.get(made.outputs[0].number, []))


def matching(subject: Subject) -> Iterator[Finding]:
    """Find scores of all pairs of two sides whose labels are all the same, or that are divided to nothing."""
    view = seen(subject)
    if view is None:
        return
    for op in view.sinks("cross_entropy"):
        scores, labels = tensor_of(op.inputs[0]), tensor_of(op.inputs[1])
        if scores is None or labels is None or scores.dim() != 2 or len(scores) != scores.shape[1] or len(scores) < 4:
            continue
        product, factor = _cosines(op.inputs[0])
        if product is None or TARGET in view.came(op.inputs[1]) or labels.shape != scores.shape[:1]:
            continue
        same = bool((labels == labels[0]).all())
        flat = float(scores.amax() - scores.amin()) < 0.5 and factor is not None
        if not same and not flat:
            continue
        made = op.inputs[1].maker if same else factor
        place, line = where(view, made, "labels" if same else made.name) if made is not None else view.place(op)
        yield found(
            "pairs-mislabelled" if same else "temperature-upside-down",
            place,
            f"labels all rows of the similarities with {int(labels[0])}: the matching pair of row i is in column i, "
            "the diagonal (arange)"
            if same
            else "scales cosines down to nothing: the temperature (logit scale) multiplies where it should divide, or "
            "divides where it should multiply, so all logits are nearly alike",
            at=line or view.loss_line,
            evidence=f"similarities {tuple(scores.shape)} of two sides, one label"
            if same
            else f"logits from {float(scores.amin()):.3g} to {float(scores.amax()):.3g} over {len(scores)} candidates",
            effect="every sample is drawn to one and the same partner"
            if same
            else "the softmax stays flat: the loss cannot fall far below the logarithm of the number of candidates",
            fix="labels = torch.arange(len(logits))" if same else "logits = a @ b.T * logit_scale.exp()",
        )
        return


def _cosines(fact: Fact) -> tuple[Op | None, Op | None]:
    """Return the product of two different matrices that scores are, and what scales it by a number that shrinks it."""
    factor: Op | None = None
    while fact.maker is not None and fact.maker.name in SCALING | {"t", "T"} and fact.maker.inputs:
        op = fact.maker
        if op.name in ("div", "truediv", "mul", "rmul") and len(op.inputs) == 2:
            other = op.inputs[1]
            if other.shape != () or other.low is None:
                return None, None
            shrinks = other.low > 1.2 if "div" in op.name else 0 < other.low < 0.8
            factor = op if shrinks else factor
        fact = op.inputs[0]
    product = fact.maker
    if product is None or product.name not in ("matmul", "mm") or len(product.inputs) != 2:
        return None, None
    one, two = (_unshaped(item) for item in product.inputs)
    return (None, None) if one is two else (product, factor)


RULES = (with_itself, kept_in_sum, matching, collapse, pairs_turned)
