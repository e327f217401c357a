"""Inputs that are mixtures of samples (mixup): their labels must be mixtures of the same samples, share by share."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.recording import flat
from trainkit.inspection.source import Line, called, code_of, walk
from trainkit.inspection.step.view import View, seen
from trainkit.inspection.subject import Subject, found, unpacked
from trainkit.inspection.untouched import kept_generators, quiet

EXACT = 1e-4
"""Relative error up to which inputs are mixtures of samples."""
SHARE = 5e-3
"""Share from which a sample is part of a mixture."""
MOST = 128
"""Samples of a batch that are looked at, at most: the shares are found by least squares over all."""
GAP = 0.1
"""Difference of two shares from which they are not the same."""


def labels_of_others(subject: Subject) -> Iterator[Finding]:
    """Find inputs mixed with other samples than their labels are."""
    if subject.train_step is not None:
        view = seen(subject)
        told = _in_step(view) if view is not None else None
    else:
        told = _in_collate(subject)
    if told is None:
        return
    place, line, wrong, count, turned = told
    yield found(
        "labels-of-other-mixture",
        f"{place}: labels",
        "mixes the labels by other shares than the inputs: lam and 1 - lam are exchanged"
        if turned
        else "mixes the inputs with one permutation of the batch and the labels with another (mixup): "
        "a mixture holds samples whose label its target does not, and the other way round",
        at=line,
        evidence=f"{wrong} of {count} mixed inputs have a target that is not that of their samples",
        effect="the target of every mixture is partly that of a sample that is not in it: labels are noise",
        fix="partner = torch.randperm(len(x)); x = lam * x + (1 - lam) * x[partner]; "
        "y = lam * y + (1 - lam) * y[partner]",
    )


Told = tuple[str, Line | None, int, int, bool]
"""Place, line, wrong rows, mixed rows, and whether the shares are exchanged."""


def _in_collate(subject: Subject) -> Told | None:
    if subject.collate is None or subject.train_set is None:
        return None
    samples = subject.samples(min(subject.batch_size, MOST))
    pairs = [sample for sample in samples if isinstance(sample, list | tuple) and len(sample) == 2]
    if len(pairs) < 4 or len(pairs) < len(samples) or not all(isinstance(x, Tensor) for x, _ in pairs):
        return None
    labels = [_class(y) for _, y in pairs]
    if any(label is None for label in labels) or len({x.shape for x, _ in pairs}) != 1:
        return None
    y = torch.tensor([label for label in labels if label is not None])
    x = torch.stack([x for x, _ in pairs])
    with kept_generators(0), quiet():
        try:
            inputs, target = unpacked(subject.collated(samples))
        except Exception:  # noqa: BLE001 - first_step tells what fails
            return None
    first = next(flat(inputs), None)
    shares = shares_of(x, first) if first is not None else None
    if shares is None:
        return None
    for given in flat(target):
        wrong, turned = _wrong(shares, y, given)
        if wrong:
            name = getattr(subject.collate, "__name__", type(subject.collate).__name__)
            line = _drawn(subject) or subject.where_made(subject.collate)
            return name, line, wrong, _mixed(shares), turned
    return None


def _in_step(view: View) -> Told | None:
    """Hold what the model is given, and the targets that losses are given, against the batch."""
    x, y = (next(iter(facts), None) for facts in (view.inputs, view.targets))
    calls = [call for call in view.recording.calls if not call.path and call.inputs]
    if x is None or y is None or x.tensor is None or y.tensor is None or not calls or len(y.shape) != 1:
        return None
    changed = {fact.number for op in view.recording.ops if op.in_place for fact in op.inputs[:1]}
    given = calls[-1].inputs[0]
    if y.dtype.is_floating_point or {x.number, y.number} & changed or given.tensor is None:
        return None
    shares = shares_of(x.tensor, given.tensor)
    if shares is None:
        return None
    for op in view.sinks("cross_entropy", "nll_loss", "kl_div", "binary_cross_entropy_with_logits"):
        target = op.inputs[1]
        wrong, turned = _wrong(shares, y.tensor, target.tensor) if target.tensor is not None else (0, False)
        if wrong:
            maker = target.maker
            line = maker.line if maker is not None and maker.line is not None else op.line
            name = (maker or op).function or getattr(view.subject.train_step, "__name__", "train_step")
            return name, line, wrong, _mixed(shares), turned
    return None


def _class(label: object) -> int | None:
    """Return a sample's class from its number or its one-hot vector."""
    if isinstance(label, Tensor) and label.dim() == 1 and float(label.sum()) == 1 == float(label.max()):
        return int(label.argmax())
    if isinstance(label, Tensor) and label.dim() == 0 and not label.is_floating_point():
        return int(label)
    return label if isinstance(label, int) else None


def shares_of(samples: Tensor, given: Tensor) -> Tensor | None:
    """Return in which shares each input is made of the samples; None if inputs are no mixtures of two samples."""
    count = len(samples)
    if samples.shape != given.shape or not given.is_floating_point() or not 4 <= count <= MOST:
        return None
    basis, mixed = (tensor.detach().flatten(1).double() for tensor in (samples, given))
    if basis.shape[1] < 2 * count or not bool(torch.isfinite(basis).all() and torch.isfinite(mixed).all()):
        return None
    gram = basis @ basis.T
    if int(torch.linalg.matrix_rank(gram)) < count:
        return None
    shares = torch.linalg.solve(gram, basis @ mixed.T).T
    if float((shares @ basis - mixed).norm()) > EXACT * float(mixed.norm()):
        return None
    two = (shares > SHARE).sum(1)
    sound = bool((two <= 2).all()) and bool(((shares.sum(1) - 1).abs() < 10 * EXACT).all())
    return shares if sound and _mixed(shares) * 2 >= count else None


def _mixed(shares: Tensor) -> int:
    return int(((shares > SHARE).sum(1) == 2).sum())


def _wrong(shares: Tensor, y: Tensor, given: Tensor) -> tuple[int, bool]:
    """Return how many mixtures have targets of other samples, or by exchanged shares, and whether it is the latter."""
    classes = torch.nn.functional.one_hot(y.long(), max(int(y.max()) + 1, given.shape[-1] if given.dim() == 2 else 1))
    held = (shares > SHARE).double() @ classes.double() > 0
    if given.dim() == 1 and not given.is_floating_point() and len(given) == len(y):
        fits = (given >= 0) & (given < held.shape[1])
        return (int((~held.gather(1, given.long()[:, None])).sum()) if bool(fits.all()) else 0), False
    if given.shape != held.shape or not given.is_floating_point():
        return 0, False
    mass = given.detach().double()
    mass = mass - mass.amin(1, keepdim=True)  # smoothing gives the same to all
    others = int(((mass * ~held).sum(1) > 2 * SHARE).sum())
    if others:
        return others, False
    due = shares.clamp(min=0) @ classes.double()
    pairs = (held.sum(1) == 2) & ((due.amax(1) - 0.5).abs() > GAP)
    turned = pairs & ((mass - _exchanged(due, held)).abs().amax(1) < GAP / 2)
    return (int(turned.sum()), True) if bool(pairs.any()) and bool((turned == pairs).all()) else (0, False)


def _exchanged(due: Tensor, held: Tensor) -> Tensor:
    """Return the target that has the shares of its two classes exchanged."""
    return held * (1 - due)


def _drawn(subject: Subject) -> Line | None:
    """Return the last line of a collate function that draws a permutation, or reads a batch by one."""
    code = code_of(subject.collate)
    calls = [node for node in walk(code.node) if isinstance(node, ast.Call)] if code is not None else []
    drawn = [node for node in calls if called(node).rpartition(".")[2] in ("randperm", "permutation", "flip", "roll")]
    return code.line(max(drawn, key=lambda node: node.lineno)) if code is not None and drawn else None


RULES = (labels_of_others,)
