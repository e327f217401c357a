"""A batch of a few samples, evaluated on copies: whole, in part and in another order."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainkit.inspection.recording import Recording, flat, mapped, recorded
from trainkit.inspection.subject import Stuck, Subject, unpacked
from trainkit.inspection.untouched import generators, kept_generators

PROBED = 13
"""Samples of the probes: a number that no other dimension is likely to have."""
FEW = 3
"""Samples of them that a slow model is given once more, where it draws nothing that might spare a few."""
NEAR = 1e-3
"""Difference, relative to the largest output, from which two outputs are not the same but for rounding."""


def evaluated(subject: Subject, batch: Any) -> tuple[Recording, Any, Exception | None]:
    """Evaluate a batch on a copy of its own: a model may go on from the batch before."""
    with subject.scratch() as scratch, torch.no_grad():
        model = in_eval(scratch.model)
        return recorded(model, lambda: subject.forward(model, batch), gradients=False)


def in_eval(model: nn.Module) -> nn.Module:
    """Return a copy of the user's model in eval mode; an override of ``train`` or ``eval`` may return nothing."""
    model.eval()
    return model


def probed(subject: Subject, count: int = PROBED) -> Any:
    """Return a batch of a few samples, the same each time: a collate may draw at random.

    Raises:
        Stuck: If there are none.
    """
    try:
        with kept_generators():
            return subject.collated(subject.samples(count))
    except Exception as error:
        raise Stuck(f"gives no batch: {error}") from error


def counts_samples(batch: Any) -> bool:
    """Say whether the first dimension of all inputs counts the samples."""
    inputs, _ = unpacked(batch)
    tensors = list(flat(inputs))
    return bool(tensors) and all(tensor.dim() > 0 and tensor.shape[0] == PROBED for tensor in tensors)


def taken(thing: Any, kept: Tensor) -> Any:
    """Return some samples of a batch, in the order that is asked for."""
    if isinstance(thing, Tensor):
        return thing[kept.to(thing.device)] if thing.dim() and thing.shape[0] == PROBED else thing
    if isinstance(thing, list | tuple) and len(thing) == PROBED and not any(isinstance(item, Tensor) for item in thing):
        return [thing[index] for index in kept.tolist()]
    return mapped(thing, lambda value: taken(value, kept))


def distance(one: Any, other: Any) -> float | None:
    """Return the largest difference of two outputs, relative to the largest value; None if they cannot be compared."""
    largest, size = 0.0, 0.0
    pairs = list(zip(flat(one), flat(other), strict=False))
    for a, b in pairs:
        if a.shape != b.shape:
            return None
        if a.numel() == 0 or not (a.is_floating_point() or a.is_complex()):
            largest = max(largest, float(a.numel() > 0 and not torch.equal(a, b)))
            size = max(size, 1.0)
            continue
        both = a.isfinite() & b.isfinite()
        largest = max(largest, (a - b).abs()[both].max().item() if both.any() else 0.0)
        size = max(size, a.abs()[both].max().item() if both.any() else 0.0)
    return largest / size if pairs and size else (0.0 if pairs else None)


@dataclass(eq=False)
class Steady:
    """What one evaluation gave and left.

    Attributes:
        batch: What was evaluated.
        outputs: Of the batch.
        is_steady: Whether its samples in parts, in another order and under another seed, give the same, and nothing
            was left in the model. Then rules that look for noise, state or a mixing of samples need not.
        moved: Names of the buffers of ``state_dict`` that changed.
        training: Paths of modules that stay in training mode.
    """

    batch: Any
    outputs: Any
    is_steady: bool
    moved: list[str]
    training: list[str]


def steady(subject: Subject) -> Steady:
    """Return what one evaluation gave and left, for all rules that ask whether it is what it should be.

    Raises:
        Stuck: If the model cannot be evaluated.
    """
    return subject.once(_steady)


def _steady(subject: Subject) -> Steady:
    with subject.scratch() as scratch, torch.no_grad():
        model, batch = in_eval(scratch.model), probed(subject)
        saved = model.state_dict()
        before = {name: buffer.clone() for name, buffer in model.named_buffers() if name in saved}
        held, drawn = _held(model), generators()
        outputs = subject.forward(model, batch)
        still = _is_still(held, _held(model)) and (not subject.is_slow or generators() == drawn)
        after = dict(model.named_buffers())
        moved = [name for name, old in before.items() if name in after and not equal(old, after[name])]
        training = [path for path, module in model.named_modules() if module.training]
        order = torch.randperm(PROBED, generator=torch.Generator().manual_seed(0))
        parts, same = (order[:FEW],) if subject.is_slow else order.split(PROBED // 2 + 1), False
        if still and not moved and counts_samples(batch):
            with kept_generators(1), suppress(Stuck):
                same = all(_is_part(subject.forward(model, taken(batch, kept)), outputs, kept) for kept in parts)
    return Steady(batch, outputs, same, moved, training)


def _held(model: nn.Module) -> list[tuple[Any, int]]:
    """Return what modules hold, and the lengths of containers."""
    values = [value for module in model.modules() for value in vars(module).values()]
    return [(value, len(value) if isinstance(value, list | dict | set) else 0) for value in values]


def _is_still(before: list[tuple[Any, int]], after: list[tuple[Any, int]]) -> bool:
    same = len(before) == len(after)
    return same and all(a is b and m == n for (a, m), (b, n) in zip(before, after, strict=True))


def equal(one: Tensor, other: Tensor) -> bool:
    """Say whether two tensors have one shape and equal values."""
    return one.shape == other.shape and torch.equal(one, other)


def _is_part(alone: Any, outputs: Any, kept: Tensor) -> bool:
    """Say whether outputs are some of others, but for rounding."""
    pairs = list(zip(flat(outputs), flat(alone), strict=False))
    if not pairs or any(a.dim() == 0 or a.shape[0] != PROBED or b.shape[1:] != a.shape[1:] for a, b in pairs):
        return False
    apart = [distance(a[kept.to(a.device)], b) for a, b in pairs]
    return all(value is not None and value <= NEAR / 10 for value in apart)
