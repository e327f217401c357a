"""The model's last operation against the loss that judges it: logits, probabilities and log-probabilities confused."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.recording import Fact, Op
from trainkit.inspection.source import Line
from trainkit.inspection.step.bounds import ALL, activation, bounds
from trainkit.inspection.step.view import TARGET, WEIGHT, View, dim_of, seen, source, tensor_of
from trainkit.inspection.subject import Subject, found

FLOOR = 0.08
"""Loss in nats that no weights can get below, from which it is told."""
LOGS = ("log_softmax", "log", "logsigmoid", "logsumexp", "log1p", "xlogy")
NAMES = {"cross_entropy": "CrossEntropyLoss", "nll_loss": "NLLLoss", "binary_cross_entropy": "BCELoss"}
NAMES |= {"binary_cross_entropy_with_logits": "BCEWithLogitsLoss", "mse_loss": "MSELoss", "l1_loss": "L1Loss"}
NAMES |= {"softmax": "a second softmax", "log_softmax": "log_softmax", "kl_div": "KLDivLoss"}


def logits_are_confined(subject: Subject) -> Iterator[Finding]:
    """Find probabilities and other bounded outputs that are given to a loss which takes logits."""
    view = seen(subject)
    if view is None:
        return
    for op in _classifiers(view):
        fact = op.inputs[0]
        dim = _classes(op)
        if dim is None or dim >= len(fact.shape):
            continue
        count = fact.shape[dim]
        if count == 1 and op.name == "cross_entropy":
            yield _one_class(view, op, fact)
            continue
        values = tensor_of(fact)
        if values is None or count < 2:
            continue
        if sums_to_one(values, dim):
            yield _probabilities(view, op, fact)
        elif op.name == "cross_entropy" and sums_to_one(values.exp(), dim):
            yield _twice(view, op, fact)
        else:
            yield from _bounded(view, op, fact, count)


def _classifiers(view: View) -> Iterator[Op]:
    """Yield cross entropies, and the softmax that ends a loss written by hand or a model."""
    yield from view.sinks("cross_entropy")
    ends = [source(fact)[0] for fact in (*view.outputs, *(sink.inputs[0] for sink in view.sinks("nll_loss", "kl_div")))]
    for op in view.path:
        if op.name not in ("softmax", "log_softmax") or not op.inputs or WEIGHT not in view.came(op.inputs[0]):
            continue
        if op in ends or op.module is None:
            yield op


def _classes(op: Op) -> int | None:
    if op.name == "cross_entropy":
        return 1 if len(op.inputs[0].shape) > 1 else 0
    return dim_of(op)


def sums_to_one(values: Tensor, dim: int) -> bool:
    """Say whether values are distributions over a dimension."""
    if values.shape[dim] < 2 or not torch.isfinite(values).all():
        return False
    rough = 2e-2 if values.numel() and values.abs().max() > 1.01 else 5e-3
    return bool(values.min() >= -1e-6) and bool(((values.sum(dim) - 1).abs() < rough).all())


def _one_class(view: View, op: Op, fact: Fact) -> Finding:
    place, line = _at_loss(view, op)
    return found(
        "cross-entropy-of-one-class",
        place,
        "is CrossEntropyLoss over a single logit: a softmax over one class is always 1",
        at=line,
        evidence=f"output {tuple(fact.shape)}",
        effect="the loss is 0 (or constant) and nothing is learnt",
        fix="Use nn.BCEWithLogitsLoss() for one logit, or give the model as many outputs as classes.",
    )


def _probabilities(view: View, op: Op, fact: Fact) -> Finding:
    maker, _ = source(fact)
    culprit = activation(view, fact) if activation(view, fact) is not None else maker
    assert culprit is not None
    name = culprit.name if culprit.name in ("softmax", "gumbel_softmax", "exp") else "softmax by hand"
    place, line = view.place(culprit, "softmax" if name == "softmax by hand" else name)
    floor = math.log1p((fact.shape[_classes(op) or 0] - 1) * math.exp(-1))
    judge = NAMES[op.name] if op.name != "cross_entropy" or op.module is None else "cross_entropy"
    module = view.module_named(culprit)
    return found(
        "softmax-before-cross-entropy",
        place,
        f"gives probabilities ({module or name}) to {judge}, which takes logits and has a softmax of its own",
        at=line,
        evidence=f"its rows sum to 1; with them the loss cannot fall below {floor:.3f}",
        effect="softmax is applied twice: gradients are small and the loss stays high",
        fix="Return the logits: remove the softmax, and apply it only to show probabilities.",
    )


def _twice(view: View, op: Op, fact: Fact) -> Finding:
    maker, _ = source(fact)
    place, line = view.place(maker) if maker is not None else _at_loss(view, op)
    return found(
        "log-softmax-before-cross-entropy",
        place,
        "gives log-probabilities to CrossEntropyLoss, which takes the log_softmax again; the result is the same",
        severity="info",
        at=line,
        effect="nothing but a wasted operation",
        fix="Return the logits, or use nn.NLLLoss().",
    )


def _bounded(view: View, op: Op, fact: Fact, count: int) -> Iterator[Finding]:
    low, high = bounds(view, fact)
    bend = activation(view, fact)
    if bend is None or (low, high) == ALL:
        return
    floor = math.log1p((count - 1) * math.exp(low - high)) if high - low < math.inf else 0.0
    clipped = low == 0 and high == math.inf and bend.name in ("relu", "clamp", "clamp_min", "threshold", "clip")
    if floor < FLOOR and not clipped:
        return
    cosines = bend.name in ("matmul", "mm", "bmm")
    if cosines and high - low > 2.5:
        return  # a temperature by design
    place, line = view.place(bend)
    judge = NAMES[op.name] if op.name == "cross_entropy" else f"the {op.name}"
    module = view.module_named(bend)
    where = f"{bend.name} ({module})" if module else bend.name
    lost = tensor_of(fact)
    zero = f"; {(lost == 0).float().mean():.0%} of them are 0 now, without a gradient" if lost is not None else ""
    yield found(
        "bounded-logits",
        place,
        "gives cosines of unit vectors for logits: the temperature is missing, or multiplied where it should divide"
        if cosines
        else f"is the last operation ({where}) before {judge}, which takes raw scores (logits)",
        severity="warning" if cosines and high - low > 0.5 else "error",
        at=line,
        evidence=f"logits of {count} classes cannot be below 0{zero}"
        if clipped
        else f"logits of {count} classes confined to {low:g}..{high:g}: the loss cannot fall below {floor:.3f}",
        effect="classes whose score is cut get no gradient" if clipped else "the model can never be sure of a class",
        fix="Divide by a small temperature: logits = a @ b.T / 0.07"
        if cosines
        else f"Return the last layer's output without {bend.name}.",
    )


def _at_loss(view: View, op: Op, what: str = "") -> tuple[str, Line | None]:
    place, line = view.place(op, what or NAMES.get(op.name, op.name))
    return place, line or view.loss_line


def binary_inputs(subject: Subject) -> Iterator[Finding]:
    """Find losses of two classes that are given probabilities for logits, or what cannot be a probability."""
    view = seen(subject)
    if view is None:
        return
    for op in view.sinks("binary_cross_entropy_with_logits", "binary_cross_entropy", "multilabel_soft_margin_loss"):
        fact, target = op.inputs[0], tensor_of(op.inputs[1])
        if target is None:
            continue
        if float(target.min()) < -1e-3 or float(target.max()) > 1 + 1e-3:
            yield _targets_outside(view, op, target)
        elif op.name == "binary_cross_entropy":
            yield from _of_probabilities(view, op, fact, target)
        else:
            yield from _of_logits(view, op, fact, target)


def _targets_outside(view: View, op: Op, target: Tensor) -> Finding:
    place, line = _at_loss(view, op)
    return found(
        "binary-targets-outside",
        place,
        "is given targets outside of 0..1",
        at=line,
        evidence=f"targets from {float(target.min()):g} to {float(target.max()):g}",
        effect="the loss has no lower bound and pushes the scores to infinity",
        fix="Map the labels to 0 and 1, e.g. (target + 1) / 2 for -1 and 1; use CrossEntropyLoss for class numbers.",
    )


def _of_logits(view: View, op: Op, fact: Fact, target: Tensor) -> Iterator[Finding]:
    low, high = bounds(view, fact)
    bend = activation(view, fact)
    if bend is None or (low, high) == ALL:
        return
    wished = torch.logit(target.clamp(0, 1), eps=1e-6)
    best = wished.clamp(min=low, max=high)
    loss = torch.nn.functional.binary_cross_entropy_with_logits
    floor = float(loss(best, target) - loss(wished, target))
    if floor < FLOOR:
        return
    place, line = view.place(bend)
    module = view.module_named(bend)
    known = bend.name in ("sigmoid", "softmax", "hardsigmoid")
    kind = f"{'probabilities' if known else 'bounded scores'} ({module or bend.name})"
    yield found(
        "sigmoid-before-bce-with-logits",
        place,
        f"gives {kind} to {NAMES.get(op.name, op.name)}, which takes logits and has a sigmoid of its own",
        at=line,
        evidence=f"scores confined to {low:g}..{high:g}: the loss cannot fall below {floor:.3f} on these targets",
        effect="the sigmoid is applied twice: no probability below 0.5 (or above 0.73) can be told"
        if known
        else "probabilities near the targets cannot be told",
        fix="Return the logits, or use nn.BCELoss() on the probabilities.",
    )


def _of_probabilities(view: View, op: Op, fact: Fact, target: Tensor) -> Iterator[Finding]:
    low, high = bounds(view, fact)
    bend = activation(view, fact)
    if low < 0 or high > 1:
        if _leaves(view):
            yield raw_scores(view, op, f"outputs from {fact.low:.3g} to {fact.high:.3g} lie in 0..1 by luck")
        return
    if bend is None:
        return
    rows = target.sum(-1) if target.dim() > 1 else target
    if bend.name == "softmax" and target.dim() > 1 and target.shape[-1] > 1 and bool((rows > 1.5).any()):
        place, line = view.place(bend)
        share = float((rows > 1.5).float().mean())
        yield found(
            "softmax-for-several-labels",
            place,
            "shares one probability among labels of which several may be true",
            at=line,
            evidence=f"{share:.0%} of the targets hold more than one label; softmax rows sum to 1",
            effect="two labels can never both be told with certainty",
            fix="Use torch.sigmoid with nn.BCELoss(), or logits with nn.BCEWithLogitsLoss().",
        )
        return
    best = target.clamp(low, high)
    loss = torch.nn.functional.binary_cross_entropy
    floor = float(loss(best.clamp(0, 1), target) - loss(target.clamp(0, 1), target))
    if floor > FLOOR:
        place, line = view.place(bend)
        yield found(
            "bounded-probabilities",
            place,
            f"confines the probabilities to {low:g}..{high:g} before BCELoss",
            at=line,
            evidence=f"the loss cannot fall below {floor:.3f} on these targets",
            effect="some targets can never be told",
            fix="Apply sigmoid to raw scores (no ReLU or other activation before it).",
        )


def _leaves(view: View) -> bool:
    """Say whether other weights give what is no probability."""
    for factor in (8.0, -8.0):
        with view.subject.scratch() as scratch:
            with torch.no_grad():
                for parameter in scratch.model.parameters():
                    parameter.mul_(factor)
            try:
                scratch.model.train()
                view.subject.run(scratch.model, scratch.loss, view.subject.batch)
            except RuntimeError as error:
                return "between 0 and 1" in str(error)
    return False


def raw_scores(view: View, op: Op, evidence: str) -> Finding:
    """Return that BCELoss is given raw scores."""
    place, line = _at_loss(view, op)
    return found(
        "raw-scores-into-bce",
        place,
        "is BCELoss on raw scores: no sigmoid stands between the model's last layer and the loss",
        at=line,
        evidence=evidence,
        effect="the loss fails, or is wrong, as soon as a score leaves 0..1",
        fix="Use nn.BCEWithLogitsLoss(), or return torch.sigmoid(...) from the model.",
    )


def multi_hot(subject: Subject) -> Iterator[Finding]:
    """Find several true labels given to a cross entropy, and labels of 0 and 1 to losses that take -1 and 1."""
    view = seen(subject)
    if view is None:
        return
    for op in view.sinks("cross_entropy"):
        target = tensor_of(op.inputs[1])
        if target is None or target.dim() < 2 or not op.inputs[1].dtype.is_floating_point:
            continue
        if target.shape == op.inputs[0].shape and bool(((target == 0) | (target == 1)).all()):
            rows = target.sum(1)
            if bool((rows > 1.5).any()):
                place, line = _at_loss(view, op)
                yield found(
                    "several-labels-into-cross-entropy",
                    place,
                    "is CrossEntropyLoss on targets of which several are true (multi-hot), as if one were",
                    at=line,
                    evidence=f"{float((rows > 1.5).float().mean()):.0%} of the targets hold more than one label",
                    effect="labels compete for one probability, and samples weigh by their number of labels",
                    fix="Use nn.BCEWithLogitsLoss() for independent labels.",
                )
    pairs = {"cosine_embedding_loss": 2, "margin_ranking_loss": 2, "hinge_embedding_loss": 1, "soft_margin_loss": 1}
    for op in view.sinks(*pairs):
        position = pairs[op.name]
        target = tensor_of(op.inputs[position]) if len(op.inputs) > position else None
        if target is None or TARGET not in view.came(op.inputs[position]):
            continue
        if bool(((target == 0) | (target == 1)).all()) and bool((target == 0).any()):
            place, line = _at_loss(view, op, op.name)
            yield found(
                "labels-not-signed",
                place,
                "takes targets of -1 and 1, and is given 0 and 1",
                at=line,
                evidence=f"{float((target == 0).float().mean()):.0%} of the targets are 0",
                effect="samples of class 0 add nothing that is meant",
                fix="Give 2 * target - 1.",
            )


RULES = (logits_are_confined, binary_inputs, multi_hot)
