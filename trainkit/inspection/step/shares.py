"""What each part of a loss weighs: terms beside terms, labels of a mixture, positions of a mask, soft targets."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.recording import Fact, Op
from trainkit.inspection.source import Line, tree, walk
from trainkit.inspection.step.losses import sums_to_one
from trainkit.inspection.step.mixing import shares_of
from trainkit.inspection.step.slopes import sloped
from trainkit.inspection.step.terms import where
from trainkit.inspection.step.view import TARGET, WEIGHT, View, seen, source, tensor_of
from trainkit.inspection.subject import Subject, found

PRODUCTS = ("mul", "rmul", "multiply")
MEANT = re.compile(r"adv|weight|mask|penalt|return")
"""Names of what is meant for the loss, sample by sample."""
GAP = 0.1
"""Difference of the labels' share from the inputs' that is told."""


def never_added(subject: Subject) -> Iterator[Finding]:
    """Find a number that a loss computes from the outputs, gives a name, and does not use."""
    view = seen(subject)
    if view is None:
        return
    ends = {fact.number for fact in view.losses}
    for op in view.recording.ops:
        if op.module is not None or op.line is None or not op.own or len(op.outputs) != 1:
            continue
        fact = op.outputs[0]
        if fact.number in ends or view.readers.get(fact.number) or not view.came(fact):
            continue
        name = _unused_name(op) if fact.shape != () or fact.requires_grad else None
        if name is None or (fact.shape != () and not MEANT.search(name)):
            continue
        place, line = where(view, op, name)
        yield found(
            "term-never-added",
            place,
            f"is computed and never used (unused): {name} has no part in the loss, it is not added to it",
            at=line,
            evidence=f"{name} {tuple(fact.shape)}, and nothing reads it",
            effect="this term trains nothing: the model is trained on the rest of the loss alone",
            fix=f"return loss + {name}" if fact.shape == () else f"loss = ({name} * loss_of_each_sample).mean()",
        )
        return


def _unused_name(op: Op) -> str | None:
    """Return the name that a function gives to a result and never reads again."""
    whole = tree(op.line.file) if op.line is not None else None
    for function in walk(whole) if whole is not None else ():
        if not isinstance(function, ast.FunctionDef) or function.name != op.function or op.line is None:
            continue
        for node in walk(function):
            if not isinstance(node, ast.Assign) or len(node.targets) != 1 or not isinstance(node.targets[0], ast.Name):
                continue
            if not node.lineno <= op.line.line <= (node.end_lineno or node.lineno):
                continue
            name = node.targets[0].id
            loads = [item for item in walk(function) if isinstance(item, ast.Name) and item.id == name]
            if name != "_" and all(isinstance(item.ctx, ast.Store) for item in loads):
                return name
    return None


def mixed_labels(subject: Subject) -> Iterator[Finding]:
    """Hold the shares in which a step mixes its inputs against those of the losses on both labels."""
    view = seen(subject)
    if view is None or subject.train_step is None:
        return
    if _two_labels(view) is None:
        yield from _own_label_only(view)
        return
    both = sloped(subject)
    told = _two_labels(both[0]) if both is not None else None
    if both is None or told is None:
        return
    own, other = (both[1].get(op.outputs[0].number) for op in told)
    share = _own_share(both[0], told[0])
    if own is None or other is None or share is None or own.numel() != 1 or not bool((own + other) != 0):
        return
    label = float(own / (own + other))
    if abs(label - share) < GAP or not 0.001 < share < 0.999:
        return
    turned = abs(label - (1 - share)) < GAP / 3 and abs(share - 0.5) > GAP
    place, line = both[0].place(told[0], "labels")
    yield found(
        "labels-of-other-mixture",
        place,
        "weighs the labels by other shares than the inputs: lam and 1 - lam are exchanged (swapped)"
        if turned
        else "weighs the two labels by lam, and the inputs are mixed in another proportion: the share of the label "
        "must be the area that was pasted (cutmix)",
        severity="error" if turned else "warning",
        at=told[0].line or line,
        evidence=f"{share:.0%} of each input is its own, and its own label weighs {label:.0%}",
        effect="labels do not say what is in the input",
        fix="lam = 1 - height * width / (H * W); loss = lam * ce(out, y) + (1 - lam) * ce(out, y[perm])",
    )


def _own_label_only(view: View) -> Iterator[Finding]:
    """Find inputs that are mixed with others in halves, and whose loss reads their own labels alone."""
    sinks = view.sinks("cross_entropy", "nll_loss")
    calls = [call for call in view.recording.calls if not call.path and call.inputs]
    if len(sinks) != 1 or len(view.inputs) != 1 or len(view.targets) != 1 or not calls:
        return
    clean, given = view.inputs[0].tensor, calls[-1].inputs[0].tensor
    if clean is None or given is None or sinks[0].inputs[1] is not view.targets[0] or clean.shape != given.shape:
        return
    shares = shares_of(clean, given)
    own = float(shares.diagonal().mean()) if shares is not None else 1.0
    if own > 0.9:
        return
    place, line = view.place(sinks[0], "labels")
    yield found(
        "labels-of-other-mixture",
        place,
        "mixes the inputs of two samples (mixup, lam), and the loss takes the label of one of them alone: the labels "
        "are not mixed",
        severity="error" if own < 0.5 else "warning",
        at=sinks[0].line or line,
        evidence=f"{own:.0%} of each input is its own, and its label counts whole",
        effect="the model is told to be sure of one class where the input holds two",
        fix="loss = lam * ce(out, y) + (1 - lam) * ce(out, y[perm])",
    )


def _two_labels(view: View) -> tuple[Op, Op] | None:
    """Return the losses of one output on the labels of the batch, and on those of other samples."""
    sinks = view.sinks("cross_entropy", "nll_loss")
    if len(sinks) != 2 or sinks[0].inputs[0] is not sinks[1].inputs[0] or len(view.targets) != 1:
        return None
    own = [op for op in sinks if op.inputs[1] is view.targets[0]]
    other = [op for op in sinks if op.inputs[1] is not view.targets[0] and view.came(op.inputs[1]) >= {TARGET}]
    return (own[0], other[0]) if len(own) == 1 and len(other) == 1 else None


def _own_share(view: View, op: Op) -> float | None:
    """Return the share of the network's input that is the sample's own, by equal values or as a mixture of two."""
    calls = [call for call in view.recording.calls if not call.path and call.inputs]
    if not calls or len(view.inputs) != 1:
        return None
    clean, given = view.inputs[0].tensor, calls[-1].inputs[0].tensor
    if clean is None or given is None or clean.shape != given.shape or not given.is_floating_point():
        return None
    same = (clean == given).flatten(1)
    pasted = float(same.double().mean())
    partners = _partners(clean, given, same)
    if pasted > 0.02 and partners:
        return pasted
    a, b = clean.flatten(1).double(), given.flatten(1).double()
    a, b = a - a.mean(0), b - b.mean(0)
    share = float((a * b).sum() / (a * a).sum())
    return share if pasted < 0.02 and 0 < share < 1 and _are_mixtures(clean, given) else None


def _are_mixtures(clean: Tensor, given: Tensor) -> bool:
    """Say whether inputs are mixtures of two samples whose shares sum to 1, and were not scaled or moved besides."""
    a, b = clean.flatten(1).double(), given.flatten(1).double()
    for row in range(min(4, len(a))):
        apart = a - a[row]  # given = own + share * (other - own)
        gap = b[row] - a[row]
        shares = (apart @ gap) / apart.square().sum(1).clamp(min=1e-12)
        rest = (gap - shares[:, None] * apart).norm(dim=1).min()
        if float(rest) > 0.02 * float(gap.norm()):
            return False
    return True


def _partners(clean: Tensor, given: Tensor, same: Tensor) -> bool:
    """Say whether what is not a sample's own is another sample's, value by value."""
    flat, mixed = clean.flatten(1), given.flatten(1)
    for row in range(min(4, len(flat))):
        left = ~same[row]
        if bool(left.any()) and not bool((flat[:, left] == mixed[row, left]).all(1).any()):
            return False
    return bool((~same).any())


def soft_targets(subject: Subject) -> Iterator[Finding]:
    """Find soft targets of a cross entropy that are no distribution: their sum is not 1."""
    view = seen(subject)
    if view is None:
        return
    for op in view.path:
        soft, logs = _soft(view, op)
        values = tensor_of(soft) if soft is not None else None
        if soft is None or logs is None or values is None or values.dim() != 2 or values.shape[1] < 2:
            continue
        sums = values.sum(1)
        total = float(sums.mean())
        even = float(sums.std()) < 1e-4 if len(sums) > 1 else False
        least, most = float(values.amin()), values.amax(1)
        peaked = least > 1e-5 and bool((most > 2 * values.amin(1)).all()) and float(most.std()) < 1e-4
        if not even or not peaked or abs(total - 1) < 0.01:
            continue
        place, line = where(view, op, "soft targets")
        yield found(
            "soft-targets-sum",
            place,
            "is given smoothed labels whose probabilities do not sum to 1: label smoothing by hand adds eps to each "
            "class instead of eps / number of classes",
            severity="warning",
            at=_made_at(soft) or line or view.loss_line,
            evidence=f"each row sums to {total:.3g}: {float(most[0]):.3g} for its class and {least:.3g} for the others",
            effect="the targets are no distribution, and the wrong classes are asked for too much",
            fix="F.cross_entropy(logits, target, label_smoothing=0.1), or one_hot * (1 - eps) + eps / classes",
        )
        return


def _soft(view: View, op: Op) -> tuple[Fact | None, Fact | None]:
    """Return targets of classes and the log-probabilities that they are multiplied with."""
    if op.name == "cross_entropy" and len(op.inputs) > 1 and op.inputs[1].dtype.is_floating_point:
        return (op.inputs[1], op.inputs[0]) if view.came(op.inputs[1]) == {TARGET} else (None, None)
    if op.name in PRODUCTS and len(op.inputs) == 2 and op.inputs[0].shape == op.inputs[1].shape:
        for logs, soft in (op.inputs, op.inputs[::-1]):
            values = tensor_of(logs)
            judged = WEIGHT in view.came(logs) and view.came(soft) == {TARGET}
            if judged and values is not None and values.dim() == 2 and sums_to_one(values.exp(), 1):
                return soft, logs
    return None, None


def _made_at(fact: Fact) -> Line | None:
    made = source(fact)[0]
    return made.line if made is not None else None


def masked_mean(subject: Subject) -> Iterator[Finding]:
    """Find a loss that is set to 0 by a mask, and averaged over all positions, those that are masked among them."""
    view = seen(subject)
    if view is None:
        return
    yield from _both_masked(view)
    for op in view.path:
        if op.name not in PRODUCTS or op.module is not None or len(op.inputs) != 2:
            continue
        for error, mask in (op.inputs, op.inputs[::-1]):
            values = tensor_of(mask)
            if not view.came(error) >= {TARGET, WEIGHT} or WEIGHT in view.came(mask) or not view.came(mask):
                continue
            if values is None or values.dim() < 2 or not bool(((values == 0) | (values == 1)).all()):
                continue
            left = float((values == 0).float().mean())
            means = [item for item in view.readers.get(op.outputs[0].number, []) if item.name == "mean"]
            if not 0.05 < left < 1 or len(means) != 1 or means[0].outputs[0].shape != () or _is_divided(view, means[0]):
                continue
            if not _is_padding(values):
                continue
            yield _over_all(view, means[0], values)
            return


def _both_masked(view: View) -> Iterator[Finding]:
    """Find a mean residual of prediction and target that are both set to 0 by one mask."""
    for op in view.sinks("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"):
        makers = [fact.maker for fact in op.inputs[:2]]
        if any(made is None or made.name not in PRODUCTS or len(made.inputs) != 2 for made in makers):
            continue
        one, two = (set(made.inputs) for made in makers if made is not None)
        masks = [fact for fact in one & two if WEIGHT not in view.came(fact) and view.came(fact)]
        values = tensor_of(masks[0]) if masks else None
        if values is None or values.dim() < 2 or not bool(((values == 0) | (values == 1)).all()):
            continue
        mean = op.outputs[0].shape == () and op.kwargs.get("reduction", "mean") == "mean"
        if mean and float((values == 0).float().mean()) > 0.05 and _is_padding(values) and not _is_divided(view, op):
            yield _over_all(view, op, values)
            return


def _over_all(view: View, op: Op, values: Tensor) -> Finding:
    place, line = where(view, op, "masked mean")
    return found(
        "masked-mean-over-all",
        place,
        "sets the loss to 0 by a mask and takes the mean over all positions, the masked (padding) ones among them: it "
        "must be divided by the number of valid positions, mask.sum()",
        severity="warning",
        at=op.line or line,
        evidence=f"{float((values == 0).float().mean()):.0%} of the positions of {tuple(values.shape)} are masked, and "
        "count in the mean",
        effect="the loss and its gradient shrink with the padding of the batch; short samples hardly count",
        fix="loss = (loss * mask).sum() / mask.sum().clamp(min=1)",
    )


def _is_padding(values: Tensor) -> bool:
    """Say whether a mask is 1 at the first positions of each row, and 0 after them."""
    rows = values.reshape(len(values), -1)
    return rows.shape[1] > 2 and bool((rows[:, 1:] <= rows[:, :-1]).all())


def _is_divided(view: View, op: Op) -> bool:
    """Say whether a mean is put right by the mean of the mask."""
    fact = op.outputs[0]
    readers = [item for item in view.readers.get(fact.number, []) if item.number in view.on_path]
    return any(item.name in ("div", "truediv") and len(item.inputs) == 2 for item in readers)


RULES = (never_added, mixed_labels, soft_targets, masked_mean)
