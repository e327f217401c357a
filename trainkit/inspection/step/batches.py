"""Batches of another size: the last one of an epoch, of which a step fails or a norm has nothing to average."""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import nn

from trainkit.findings import Finding
from trainkit.inspection.first_step import raised_at
from trainkit.inspection.recording import Op
from trainkit.inspection.step.view import View, seen
from trainkit.inspection.subject import Subject, found

FEW = 4
"""Values of a feature in a batch up to which batch norm learns from noise: Wu and He 2018, "Group normalization"."""
NORMS = (nn.modules.batchnorm._BatchNorm,)


def last_batch(subject: Subject) -> Iterator[Finding]:
    """Run a batch of the size that the last one of an epoch has."""
    view = seen(subject)
    if view is None or subject.drop_last or not hasattr(subject.train_set, "__len__"):
        return
    rest = len(subject.train_set) % subject.batch_size
    if rest == 0 or rest == view.size:
        rest = view.size - 1
        whole = True
    else:
        whole = False
    if rest < 1 or subject.train_step is not None:
        return
    error, path = _error(view, rest)
    if error is None:
        return
    text = " ".join(str(error).split())[:200]
    norm = "more than 1 value per channel" in text
    if rest == 1 and not norm and (squeeze := _squeezed(view)) is not None:
        yield _eaten(view, squeeze, whole)
        return
    line = None
    if path:
        line = subject.where_built(path) if norm else None
    kind = (
        f"{path} ({type(subject.model.get_submodule(path)).__name__})" if path else "loss" if path is None else "model"
    )
    shape = f"a batch of {rest} sample{'s' if rest > 1 else ''}"
    yield found(
        "batch-size-by-luck" if whole else "last-batch-fails",
        "batch_size" if norm else kind,
        f"fails on {shape}: {text}",
        severity="warning" if whole else "error",
        at=line or raised_at(error),
        evidence=f"{len(subject.train_set)} samples in batches of {subject.batch_size}: "
        + ("all are full, validation's may not be" if whole else f"the last batch of an epoch has {rest}; at {kind}"),
        effect="training stops at the end of the first epoch" if not whole else "it runs at one batch size only",
        fix="Use drop_last=True, or another batch_size."
        if norm
        else "Do not write the batch size into shapes: use x.size(0), flatten(1) or reshape(x.size(0), -1).",
    )


def _squeezed(view: View) -> Op | None:
    """Return a ``squeeze()`` of the user's without a dimension, which drops that of a batch of one sample."""
    for op in view.path:
        bare = op.name == "squeeze" and op.own and op.setting("dim", 1) is None and op.inputs
        if bare and op.inputs[0].shape[:1] == (view.size,):
            return op
    return None


def _eaten(view: View, op: Op, whole: bool) -> Finding:
    count, size = len(view.subject.train_set), view.subject.batch_size
    place, line = view.place(op, "squeeze()")
    return found(
        "batch-size-by-luck" if whole else "last-batch-fails",
        place,
        "without a dim also drops the batch dimension of a batch of one sample: the shape is another one then",
        severity="warning" if whole else "error",
        at=line,
        evidence=f"{tuple(op.inputs[0].shape)} becomes {tuple(op.outputs[0].shape)}, and of one sample "
        f"{tuple(item for item in op.inputs[0].shape[1:] if item > 1)}; {count} samples in batches of {size}",
        effect="training or prediction fails, or broadcasts, on a single sample",
        fix="squeeze(-1), or squeeze(1): name the dimension",
    )


def _error(view: View, count: int) -> tuple[Exception | None, str | None]:
    """Return what a batch of some samples raises, and in which module."""
    subject = view.subject
    smaller = view.smaller
    if smaller is None and count == view.size - 1:
        return None, None
    if isinstance(smaller, View) and smaller.size <= count:
        return None, None
    batch = subject.collated(subject.samples(count))
    with subject.scratch() as scratch:
        scratch.model.train()
        recording, _, error = subject.rerun(scratch, batch)
    return error, recording.failed_in


def single_samples(subject: Subject) -> Iterator[Finding]:
    """Find batch norm that is trained on one sample at a time."""
    if subject.batch_size != 1 or seen(subject) is None:
        return
    view = seen(subject)
    assert view is not None
    if view.size > 1:
        return
    for call in view.recording.calls:
        if isinstance(call.module, NORMS) and call.training:
            yield found(
                "batch-norm-of-one",
                f"{call.path} ({type(call.module).__name__})",
                "normalises over a batch of one sample: each sample is shifted to mean 0 on its own",
                severity="warning",
                at=subject.where_built(call.path),
                evidence="batch_size=1",
                effect="statistics in training and evaluation differ widely",
                fix="Use a larger batch_size, or nn.GroupNorm.",
            )
            return


def few_values(subject: Subject) -> Iterator[Finding]:
    """Find batch norm that has two to four values of each feature in a batch."""
    view = seen(subject) if 1 < subject.batch_size <= FEW else None
    for call in view.recording.calls if view is not None else ():
        shape = call.inputs[0].shape if call.inputs else ()
        if not isinstance(call.module, NORMS) or not call.training or len(shape) < 2 or not shape[1]:
            continue
        count = math.prod(shape) // shape[1]
        if not 1 < count <= FEW:
            continue
        yield found(
            "batch-norm-of-few",
            f"batch_size: {call.path} ({type(call.module).__name__})",
            f"batch norm averages over {count} samples: a small batch, whose statistics are mostly noise",
            severity="warning",
            at=subject.where_built(call.path),
            evidence=f"batch_size={subject.batch_size}, input {tuple(shape)}"
            + ("; of two values only the sign of their difference is left" if count == 2 else ""),
            effect="statistics in training and evaluation differ widely, and each sample hangs on its neighbours",
            fix="Use a larger batch_size (16 or more), or nn.LayerNorm or nn.GroupNorm in its place",
        )
        return


RULES = (last_batch, single_samples, few_values)
