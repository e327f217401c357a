"""Targets: their order, their classes, and whether training, validation and the head agree about these."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.probes.origins import made_at, origin
from trainkit.inspection.probes.tables import SECONDS, Table, indexed, is_drawn, raw, reads_targets, sample_of, table
from trainkit.inspection.recording import Fact, Op
from trainkit.inspection.source import Line, called, tree, walk
from trainkit.inspection.subject import Subject, Trace, found
from trainkit.inspection.untouched import copied_data, kept_generators, quiet

UNEQUAL = 10
"""How many times as many samples of one class as of another are told of."""

LAYERS = ("linear", "addmm", "conv1d", "conv2d", "conv3d", "bilinear")
COMPARING = ("matmul", "mm", "bmm", "baddbmm", "einsum", "cosine_similarity", "cdist", "norm", "vector_norm", "sum")
"""Operations that hold two things of a sample against each other, where neither is a weight."""


def ordered(subject: Subject) -> Iterator[Finding]:
    """Hold the classes within a batch against those of the whole, where nothing shuffles."""
    rows = table(subject, "train_set")
    if subject.shuffle or rows is None or rows.classes is None:
        return
    size = subject.batch_size
    if rows.total < 3 * size:
        return
    batches = _in_batches(subject, rows, size)
    kinds = len(rows.classes.unique())
    if kinds < 2:
        return
    shares = torch.stack([(batch[:, None] == batch.unique()).double().mean(0).max() for batch in batches])
    overall = (rows.classes[:, None] == rows.classes.unique()).double().mean(0).max()
    alone = sum(len(batch.unique()) for batch in batches) / len(batches)
    expected = min(kinds, size) if kinds <= size // 4 else kinds * (1 - (1 - 1 / kinds) ** size)
    if alone > 0.6 * expected or shares.mean() < min(1.4 * overall, 0.9 * overall + 0.1):
        return
    yield found(
        "sorted-not-shuffled",
        "shuffle",
        "shuffle is off and the samples are sorted by class: a batch holds one class or few, in this order",
        at=_written(subject, "shuffle"),
        evidence=f"{alone:.1f} of {kinds} classes in a batch of {size}, {expected:.1f} were they mixed",
        effect="the model follows the last class that it saw, and batch norm's statistics with it",
        fix="shuffle=True for the training set",
    )


def _in_batches(subject: Subject, rows: Table, size: int) -> list[Tensor]:
    """Return the classes of some batches in the order of the data set."""
    total, batches = rows.total, []
    starts = (0, total // 3, 2 * total // 3, total - size)
    if rows.complete and rows.classes is not None:
        return [rows.classes[start : start + size] for start in starts]
    with kept_generators(), quiet():
        held = copied_data(subject.train_set)
        for start in starts[: max(int(SECONDS / max(rows.seconds * size, 1e-9)), 1)]:
            targets = [sample_of(subject, held[index])[1] for index in range(start, start + size)]
            batches.append(torch.as_tensor([int(target) for target in targets if target is not None]))
    return batches


def rising(subject: Subject) -> Iterator[Finding]:
    """See whether numbers as targets rise or fall all along the data set, where nothing shuffles."""
    rows = table(subject, "train_set")
    if subject.shuffle or rows is None or rows.targets is None or not rows.targets.is_floating_point():
        return
    y = rows.targets.double().reshape(len(rows.targets), -1)
    if y.shape[1] != 1 or len(y) < 64 or rows.total < 3 * subject.batch_size or len(y.unique()) < 16:
        return
    steps = y[:, 0].diff()
    if not (bool((steps >= 0).all()) or bool((steps <= 0).all())) or _is_series(rows):
        return
    yield found(
        "sorted-not-shuffled",
        "shuffle",
        "shuffle is off and the samples are sorted by target: a batch holds neighbours only, in this order",
        at=_written(subject, "shuffle"),
        evidence=f"targets {'rise' if steps.sum() > 0 else 'fall'} from {float(y[0]):.3g} to {float(y[-1]):.3g} "
        f"without exception, over {len(y)} samples",
        effect="the model follows the last targets that it saw, and batch norm's statistics with it",
        fix="shuffle=True for the training set",
    )


def _is_series(rows: Table) -> bool:
    """Say whether samples are windows that move along a series, or points of one in their order."""
    x = rows.inputs
    if x is None:
        return True
    near = (x[1:] - x[:-1]).square().mean()
    far = (x - x.roll(len(x) // 2, 0)).square().mean()
    return bool(near < 0.1 * far)


def classes(subject: Subject) -> Iterator[Finding]:
    """Look at which classes there are, and hold those of the two sets against each other."""
    rows, val = table(subject, "train_set"), table(subject, "val_set")
    if not reads_targets(subject) or (subject.train_step is not None and _has_parts(subject.batch)):
        return  # the last of several parts is a target only where the loss is given it as such
    for name, one in (("train_set", rows), ("val_set", val)):
        if one is not None and one.targets is not None and len(one.indices) >= 16 and _constant(one):
            several = one.targets.dim() > 1 and bool((one.targets != one.targets.flatten()[0]).any())
            drawn = (several and is_drawn(getattr(subject, name))) or _is_made(subject, one)
            if drawn or _of_candidates(subject):
                return  # episodes: the target numbers what was drawn
            yield found(
                "constant-target",
                f"{name}: target",
                "is the same for every sample: all labels are equal",
                severity="error" if name == "train_set" else "warning",
                at=_targets_line(subject, name),
                evidence=f"{len(one.indices)} samples, all {one.targets[0].flatten()[:1].tolist()}",
                effect="a constant is all that can be learned"
                if name == "train_set"
                else "a constant answer is measured as a perfect one",
                fix="Look at how targets are read, and whether the split was cut from sorted data",
            )
            return
    if rows is None or val is None or rows.classes is None or val.classes is None or len(rows.indices) < 16:
        return
    yield from _unseen(subject, rows, val)
    yield from _absent(subject, rows, val)


def _has_parts(batch: Any) -> bool:
    """Say whether a batch is more than inputs and target, or an object of the user's."""
    return len(batch) > 2 if isinstance(batch, list | tuple | Mapping) else not isinstance(batch, Tensor)


def _constant(rows: Table) -> bool:
    assert rows.targets is not None
    return rows.targets.numel() > 0 and bool((rows.targets == rows.targets[:1]).all())


def _is_made(subject: Subject, rows: Table) -> bool:
    """Say whether a target is none of a sample's own: the collate makes it for the loss, such as ones."""
    if subject.collate is None or rows.targets is None or not indexed(subject.train_set):
        return False
    inputs, target = raw(subject.samples(1)[0])
    own = [*inputs, *([] if target is None else [target])]
    made = rows.targets[0]
    return not any(
        item.numel() == made.numel() and torch.equal(item.double().flatten(), made.double().flatten()) for item in own
    )


def _of_candidates(subject: Subject) -> bool:
    """Say whether a loss compares scores of several things by one scorer: which of them is right may be fixed."""
    trace = subject.trace
    if any(trace.recording.of("margin_ranking_loss")):
        return True
    judged = [
        op.inputs[0] for op in trace.recording.of("cross_entropy", "nll_loss") if op.inputs and _is_of_data(trace, op)
    ]
    scores = [fact for fact in judged if len(fact.shape) == 2 and fact.shape[1] > 1]
    return bool(scores) and not any(_has_head(fact, fact.shape[1]) for fact in scores)


def _has_head(fact: Fact, width: int) -> bool:
    """Say whether scores are those of a layer that has weights for each class."""
    while fact.maker is not None and fact.maker.inputs:
        op = fact.maker
        if op.name in ("cat", "concat", "stack", "hstack"):
            return any(_has_head(part, part.shape[-1]) for part in op.inputs if part.shape and part.shape[-1] > 1)
        if op.name in LAYERS:
            return op.outputs[0].shape[1 if op.name.startswith("conv") else -1] == width
        if op.name in COMPARING:
            return any(item.name for item in op.inputs)
        fact = next((item for item in op.inputs if item.requires_grad), op.inputs[0])
    return True


def _unseen(subject: Subject, rows: Table, val: Table) -> Iterator[Finding]:
    assert rows.classes is not None
    assert val.classes is not None
    unseen = sorted(set(val.classes.tolist()) - set(rows.classes.tolist()))
    if not unseen or len(rows.classes.unique()) >= 50 or len(rows.indices) < rows.total:
        return
    share = torch.isin(val.classes, torch.tensor(unseen)).double().mean()
    yield found(
        "unseen-class",
        "val_set: classes",
        f"holds classes that training never shows: {unseen[:5]}",
        severity="error" if share > 0.2 else "warning",
        at=made_at(subject, "val_set"),
        evidence=f"{share:.0%} of the validation samples; train_set has {sorted(rows.classes.unique().tolist())[:8]}",
        effect="these cannot be right; the split was cut from sorted data, or labels are numbered in two ways",
        fix="Split after shuffling, by class (stratified)",
    )


def _absent(subject: Subject, rows: Table, val: Table) -> Iterator[Finding]:
    """Tell of classes that a fair validation set of its size would hold, and this one does not."""
    assert rows.classes is not None
    assert val.classes is not None
    kinds, counts = rows.classes.unique(return_counts=True)
    shares = counts.double() / counts.sum()
    chance = (1 - shares) ** len(val.indices)
    absent = [int(kind) for kind, odds in zip(kinds, chance, strict=True) if odds < 1e-4]
    absent = [kind for kind in absent if kind not in set(val.classes.tolist())]
    if not absent or len(kinds) >= 200:
        return
    yield found(
        "class-not-validated",
        "val_set: classes",
        f"lacks classes that training is full of: {absent[:5]}: split from sorted data?",
        severity="warning" if len(absent) >= 0.3 * len(kinds) else "info",
        at=made_at(subject, "val_set"),
        evidence=f"{len(val.classes.unique())} of {len(kinds)} classes among {len(val.indices)} validation samples",
        effect="the figures say nothing about them",
        fix="Split after shuffling, by class (stratified)",
    )


def beyond(subject: Subject) -> Iterator[Finding]:
    """Hold the classes against the outputs of the head."""
    rows = table(subject, "train_set")
    labels = None if rows is None else rows.classes
    if labels is None or subject.train_set is None or not subject.trace.recording.ops:
        return
    heads, ignored = _heads(subject), _ignored(subject)
    real = labels[labels != ignored]
    if heads is None or len(real) == 0:
        return
    low, high = int(real.min()), int(real.max())
    if high < heads and low >= 0:
        yield from _unused(subject, rows, real, heads)
        return
    if _dealt_with(subject.trace, heads) or (subject.train_step is not None and low < 0 and high < heads):
        return
    last = _last_layer(subject)
    one_based = low == 1 and high == heads
    yield found(
        "class-beyond-head",
        "train_set: classes",
        f"has labels {low}..{high}, and the head ({last}) gives {heads} outputs, for 0..{heads - 1}",
        at=(_targets_line(subject, "train_set") if one_based else None) or subject.where_built(last),
        evidence=f"{int(((real >= heads) | (real < 0)).sum())} of {len(labels)} labels are out of range: "
        f"{high if high >= heads else low} is none of them",
        effect="the first batch with it fails, or counts a wrong class",
        fix="Number the labels from 0: y - 1" if one_based else f"Give the head {high + 1} outputs",
    )


def _unused(subject: Subject, rows: Table | None, labels: Tensor, heads: int) -> Iterator[Finding]:
    """Tell, as an aside, of outputs that are no class of any sample."""
    unused = sorted(set(range(heads)) - set(labels.tolist()))
    if not unused or rows is None or not rows.complete or len(labels) < 20 * heads:
        return
    from_one = unused == [0]
    yield found(
        "class-unused",
        "train_set: classes",
        f"never {'is' if len(unused) == 1 else 'are'} {', '.join(map(str, unused[:5]))}, which the head has outputs for"
        + (": labels are numbered from 1" if from_one else ""),
        severity="info",
        at=made_at(subject, "train_set"),
        evidence=f"{heads} outputs, {heads - len(unused)} classes among {len(labels)} labels",
        effect="these outputs only learn to be small",
        fix=f"Number the labels from 0, with {heads - 1} outputs" if from_one else "See whether labels are lost",
    )


def _heads(subject: Subject) -> int | None:
    """Return over how many classes the loss is taken; None if it is none over classes."""
    trace = subject.trace
    for op in trace.recording.of("cross_entropy", "nll_loss"):
        if op.module is None and op.inputs and len(op.inputs[0].shape) == 2 and _is_of_data(trace, op):
            return op.inputs[0].shape[1]
    told = " ".join(str(trace.error).split()) if trace.error is not None else ""
    if "out of bounds" in told and told.startswith("Target") and trace.recording.calls:
        outputs = [call.outputs for call in trace.recording.calls if call.path == ""]
        if outputs and outputs[0] and len(outputs[0][0].shape) == 2:
            return outputs[0][0].shape[1]
    return None


def _is_of_data(trace: Trace, op: Op) -> bool:
    """Say whether a loss reads the batch's target: in a contrastive loss the other samples are the classes."""
    if len(op.inputs) < 2:
        return True
    read = [op.inputs[1], *(fact for made in trace.recording.ancestors(op.inputs[1]) for fact in made.inputs)]
    return any(fact in trace.target for fact in read)


def _dealt_with(trace: Trace, heads: int) -> bool:
    """Say whether a loss got labels out of range and ran: it leaves their samples out, or numbers them anew."""
    given = [op.inputs[1] for op in trace.recording.of("cross_entropy", "nll_loss") if len(op.inputs) > 1]
    for fact in trace.target:
        own = fact.tensor
        if own is None or own.is_floating_point() or not own.numel() or trace.error is not None:
            continue
        if int(own.min()) >= 0 and int(own.max()) < heads:
            continue
        kinds = len(own[own >= 0].unique())
        for judged in (one.tensor for one in given if _comes_of(trace, one, fact)):
            if judged is None or not judged.numel() or int(judged.min()) < 0 or int(judged.max()) >= heads:
                continue
            if judged.numel() < own.numel() or len(judged.unique()) == kinds:
                return True
    return False


def _comes_of(trace: Trace, one: Fact, fact: Fact) -> bool:
    """Say whether a tensor was made of another one."""
    return any(fact in made.inputs for made in trace.recording.ancestors(one))


def _ignored(subject: Subject) -> int:
    for op in subject.trace.recording.of("cross_entropy", "nll_loss"):
        return int(op.setting("ignore_index", 4, -100))
    return int(getattr(subject.loss, "ignore_index", -100))


def _last_layer(subject: Subject) -> str:
    calls = [call for call in subject.trace.recording.calls if list(call.module.parameters(recurse=False))]
    return calls[-1].path if calls else ""


def balance(subject: Subject) -> Iterator[Finding]:
    """Tell of a class that is nearly all there is, as an aside."""
    rows = table(subject, "train_set")
    labels = None if rows is None else rows.classes
    if labels is None or len(labels) < 100 or not reads_targets(subject):
        return
    kinds, counts = labels.unique(return_counts=True)
    share = float(counts.max() / counts.sum())
    if not 2 <= len(kinds) < len(labels) // 10 or (share < 0.9 and counts.max() < UNEQUAL * counts.min()):
        return
    shares = counts.double() / counts.sum()
    entropy = float(-(shares * shares.log()).sum())
    yield found(
        "classes-unbalanced",
        "train_set: classes",
        f"is class {int(kinds[counts.argmax()])} in {share:.0%} of the samples, and {int(kinds[counts.argmin()])} in "
        f"{float(counts.min() / counts.sum()):.1%}: imbalanced labels",
        severity="info",
        at=made_at(subject, "train_set"),
        evidence=f"entropy {entropy:.3g} of at most {float(torch.tensor(len(kinds)).log()):.3g}",
        effect=f"accuracy is {share:.0%} without learning anything",
        fix="Measure by class (balanced accuracy, F1), and weight the loss or the sampling",
    )


def _targets_line(subject: Subject, name: str) -> Line | None:
    """Return the line that makes the targets of a set: one that draws, cuts or casts them, else where it is made."""
    made = origin(subject, name)
    wanted = ("randint", "zeros", "ones", "full", "zeros_like", "ones_like", "full_like", "long", "int", "clamp")
    at = None
    if made is not None and _constant_in(subject, name):
        at = made.find(lambda node: isinstance(node, ast.Call) and called(node).rpartition(".")[2] in wanted)
    return at or made_at(subject, name)


def _constant_in(subject: Subject, name: str) -> bool:
    rows = table(subject, name)
    return rows is not None and rows.targets is not None and _constant(rows)


def _written(subject: Subject, name: str) -> Line | None:
    """Return the line of the user's that names an argument as a key or keyword set to False."""
    for file in subject.files:
        whole = tree(file)
        for node in walk(whole) if whole is not None else ():
            if isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == name and _is_false(value):
                        return Line(file, value.lineno)
            if isinstance(node, ast.Call) and called(node).rpartition(".")[2] in ("DataLoader", "check", "inspect"):
                for keyword in node.keywords:
                    if keyword.arg == name and _is_false(keyword.value):
                        return Line(file, keyword.value.lineno)
    return None


def _is_false(node: Any) -> bool:
    return getattr(node, "value", None) is False


RULES = (classes, ordered, rising, beyond, balance)
