"""What convolutions and pooling see of a picture: strides that skip it, kernels on one pixel, along the wrong axis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.passes import in_eval
from trainkit.inspection.recording import Op, flat
from trainkit.inspection.step.view import INPUT, View, seen
from trainkit.inspection.subject import Subject, found, unpacked

CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
POOLS = ("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d")
WIDENING = ("interpolate", "upsample", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "pixel_shuffle")
GLOBAL = ("mean", "amax", "max", "sum", "adaptive_avg_pool2d", "adaptive_max_pool2d")
SKIPPED = 0.5
"""Share of the input that nothing reads, from which it is told."""
FEW = 16


def skipped(subject: Subject) -> Iterator[Finding]:
    """Find convolutions and pools whose stride leaves most of what they are given unread."""
    view = seen(subject)
    if view is None or subject.train_step is not None:
        return
    for op in view.path:
        kernel, stride = _kernel(op), _stride(op)
        if not op.inputs or INPUT not in view.came(op.inputs[0]):
            continue
        if not kernel or not stride or all(k >= s for k, s in zip(kernel, stride, strict=True)):
            continue
        fact = op.inputs[0]
        if len(view.readers.get(fact.number, [])) > 1 or not view.inputs or not view.inputs[0].dtype.is_floating_point:
            continue  # as in a shortcut beside the branch that reads all
        share = _unread(view)
        if share is None or share < SKIPPED:
            continue
        place, line = view.place(op)
        size = "x".join(map(str, kernel))
        yield found(
            "stride-skips",
            place,
            f"has a stride of {stride[0]} and a kernel of {size}: it skips the pixels between, which nothing ever "
            "reads (unused input)",
            severity="warning",
            at=line,
            evidence=f"{share:.0%} of the values of an input change no output; input {tuple(fact.shape)}",
            effect="most of each picture is thrown away unseen",
            fix="Use a kernel at least as large as the stride (kernel_size=stride for patches), or pool instead",
        )
        return


def _kernel(op: Op) -> tuple[int, ...]:
    if op.name in CONVOLUTIONS and len(op.inputs) > 1:
        dilation = _numbers(op.setting("dilation", 5, 1), len(op.inputs[1].shape) - 2)
        return tuple(op.inputs[1].shape[2:]) if set(dilation) <= {1} else ()
    return _numbers(op.setting("kernel_size", 1), int(op.name[-2])) if op.name in POOLS else ()


def _stride(op: Op) -> tuple[int, ...]:
    count = int(op.name[-2]) if op.name in POOLS else len(op.inputs[1].shape) - 2 if op.name in CONVOLUTIONS else 0
    if not count:
        return ()
    given = op.setting("stride", 2 if op.name in POOLS else 3)
    return _kernel(op) if given is None or given == () else _numbers(given, count)


def _numbers(value: Any, count: int) -> tuple[int, ...]:
    if isinstance(value, int):
        return (value,) * count
    numbers = tuple(value) if isinstance(value, list | tuple) else ()
    return numbers * count if len(numbers) == 1 else numbers if len(numbers) == count else ()


def _unread(view: View) -> float | None:
    """Return the share of an input's values that change no output of any sample; None if that cannot be told."""
    subject = view.subject
    with suppress(Exception), subject.scratch() as scratch:
        model, batch = in_eval(scratch.model), subject.collated(subject.samples(FEW))
        inputs, _ = unpacked(batch)
        given = next(flat(inputs)).requires_grad_()
        outputs = [item for item in flat(subject.forward(model, batch)) if item.is_floating_point()]
        total = sum((item * torch.randn_like(item)).sum() for item in outputs)
        assert isinstance(total, Tensor)
        slope = torch.autograd.grad(total, given)[0]
        return float((slope.abs().amax(0) == 0).float().mean())
    return None


def single_pixels(subject: Subject) -> Iterator[Finding]:
    """Find networks for pictures whose every kernel is 1x1, and kernels that are given one pixel."""
    view = seen(subject)
    if view is None:
        return
    layers = [op for op in view.path if op.name in ("conv2d", "conv3d") and INPUT in view.came(op.inputs[0])]
    yield from _one_pixel(view, layers)
    spread = [op for op in view.path if op.name in (*POOLS, *WIDENING, "unfold", "pad", "matmul", "bmm", "einsum")]
    plain = all(set(op.inputs[1].shape[2:]) == {1} for op in layers)
    if len(layers) < 2 or not plain or spread or len({op.inputs[1].name for op in layers}) < 2:
        return
    first = layers[0]
    if min(first.inputs[0].shape[2:]) < 4 or first.inputs[0] not in view.inputs or not _is_pooled(view, layers[-1]):
        return
    if view.targets and view.targets[0].shape[-2:] == first.inputs[0].shape[-2:]:
        return  # one answer a pixel
    place, line = view.place(first)
    yield found(
        "single-pixels",
        place,
        "and all other convolutions have kernel_size=1 (1x1): the receptive field is one pixel, and no neighbour is "
        "seen",
        severity="warning",
        at=line,
        evidence=f"{len(layers)} convolutions of 1x1 on pictures of {tuple(first.inputs[0].shape[2:])}, then a mean",
        effect="spatial patterns such as edges cannot be told: only the histogram of the pixels can",
        fix="Use kernel_size=3, padding=1",
    )


def _is_pooled(view: View, op: Op) -> bool:
    """Say whether a mean or maximum over all positions follows the last convolution."""
    after = [other for other in view.path if other.number > op.number and other.module is not None]
    sizes = {other.outputs[0].shape[2:] for other in after if len(other.outputs[0].shape) > 2}
    means = [other for other in after if other.name in GLOBAL and op in view.recording.ancestors(other.outputs[0])]
    return bool(means) and not any(1 < max(size) < max(op.outputs[0].shape[2:]) for size in sizes)


def _one_pixel(view: View, layers: list[Op]) -> Iterator[Finding]:
    for op in layers:
        before, kernel = op.inputs[0].shape[2:], op.inputs[1].shape[2:]
        if set(before) != {1} or min(kernel) < 2 or op.module is None:
            continue
        later = [other.name for other in view.path if other.number > op.number]
        upwards = any(name in WIDENING for name in later)
        place, line = view.place(op)
        if line is None or not _is_users(view, op):
            return
        yield found(
            "kernel-on-one-pixel",
            place,
            f"is given a map of 1x1: of its {'x'.join(map(str, kernel))} kernel all but one weight read padding, as "
            "strides and pooling before have used up the picture",
            severity="info" if upwards else "warning",
            at=line,
            evidence=f"input {tuple(op.inputs[0].shape)}, kernel {tuple(kernel)}, padding",
            effect="most of its weights never see anything but zeros, and no spatial position is left",
            fix="Leave out a stride or a pooling before it (the network is made for larger pictures)",
        )
        return


def _is_users(view: View, op: Op) -> bool:
    """Say whether a class of the user's, or their build, holds a layer, and no library."""
    path = op.module or ""
    while path:
        path = path.rpartition(".")[0]
        kind = type(view.model.get_submodule(path)).__module__
        if not kind.startswith("torch.nn.modules."):
            return not kind.startswith(("torchvision", "timm", "transformers"))
    return True


RULES = (skipped, single_pixels)
