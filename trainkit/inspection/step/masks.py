"""Masks of attention scores: added as numbers that mask nothing, or turned so that they hide all but the padding."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.recording import Fact, Op
from trainkit.inspection.step.view import WEIGHT, View, seen
from trainkit.inspection.subject import Subject, found

KERNELS = ("scaled_dot_product_attention", "multi_head_attention_forward")
"""Functions of torch that take a mask of scores."""
HALF = 0.5
"""Share of padded rows from which a run of one value at their ends is taken for padding."""
HIDDEN = -1e3
"""Score below which a key is masked."""
LEARNED = 2
"""Positions that a model may put before or behind its inputs, such as one for the class."""


def mask_added(subject: Subject) -> Iterator[Finding]:
    """Find a mask of 0 and 1 that is added to attention scores, where it masks nothing."""
    view = seen(subject)
    if view is None:
        return
    for op in view.path:
        mask = _added(view, op)
        if mask is None:
            continue
        place, line = view.place(op, "mask")
        yield found(
            "mask-added",
            place,
            "adds a mask of 0 and 1 to the attention scores: a 1 raises a score a little, and nothing is masked",
            at=line,
            evidence=f"mask {tuple(mask.shape)} of {str(mask.dtype).removeprefix('torch.')}, added before the softmax",
            effect="masked positions (padding, the future) are attended to",
            fix='scores.masked_fill(~mask, float("-inf")); for scaled_dot_product_attention a mask of bool '
            "(True: may be seen), for nn.MultiheadAttention one of bool (True: is not seen)",
        )
        return


def mask_multiplied(subject: Subject) -> Iterator[Finding]:
    """Find scores that are multiplied by a mask of 0 and 1 before a softmax, to which 0 is a score like any other."""
    view = seen(subject)
    if view is None:
        return
    for op in view.path:
        made = op.inputs[0].maker if op.name == "softmax" and op.module is not None and op.inputs else None
        if made is None or made.name not in ("mul", "rmul") or len(made.inputs) != 2:
            continue
        masks = [fact for fact in made.inputs if _is_binary(view, fact)]
        if len(masks) != 1 or not any(WEIGHT in view.came(fact) for fact in made.inputs) or _is_masked(view, op):
            continue
        place, line = view.place(made, "mask")
        yield found(
            "mask-multiplied",
            place,
            "multiplies the scores by a mask of 0 and 1 before the softmax: a score of 0 is as good as any other, and "
            "nothing is masked",
            at=line,
            evidence=f"mask {tuple(masks[0].shape)}; where it is 0 the softmax gives exp(0) = 1 over the sum",
            effect="masked positions (padding, the future) are attended to",
            fix='scores.masked_fill(mask == 0, float("-inf")) before the softmax',
        )
        return


def _is_masked(view: View, op: Op) -> bool:
    """Say whether shares are multiplied by a mask too, and so none falls on what it hides."""
    readers = [reader for fact in op.outputs for reader in view.readers.get(fact.number, [])]
    return any(reader.name in ("mul", "rmul", "masked_fill") for reader in readers)


def _added(view: View, op: Op) -> Fact | None:
    """Return a mask of 0 and 1 that an operation adds to scores."""
    if op.name in KERNELS:
        mask = op.kwargs.get("attn_mask")
        if mask is None and op.name == "scaled_dot_product_attention":
            mask = op.setting("attn_mask", 3)
        return mask if isinstance(mask, Fact) and mask.dtype.is_floating_point and _is_binary(view, mask) else None
    if op.name not in ("add", "radd") or len(op.inputs) != 2 or op.module is None:
        return None
    readers = [reader for fact in op.outputs for reader in view.readers.get(fact.number, [])]
    if not any(reader.name == "softmax" for reader in readers) or len(op.outputs[0].shape) < 3:
        return None
    for mask, scores in (op.inputs, op.inputs[::-1]):
        made = view.recording.ancestors(scores)
        if _is_binary(view, mask) and any(item.name in ("matmul", "bmm", "einsum", "baddbmm") for item in made[:4]):
            return mask
    return None


def _is_binary(view: View, mask: Fact) -> bool:
    """Say whether a tensor holds 0 and 1 alone, both of them, and no weights made it."""
    if WEIGHT in view.came(mask) or mask.tensor is None or len(mask.shape) < 2:
        return False
    values = mask.tensor.float()
    return bool(((values == 0) | (values == 1)).all()) and bool((values == 0).any()) and bool((values == 1).any())


def mask_turned(subject: Subject) -> Iterator[Finding]:
    """Find a key-padding mask that hides the tokens and shows the padding."""
    view = seen(subject)
    padding = _padding(view) if view is not None else None
    if view is None or padding is None:
        return
    for op in view.path:
        hidden = _hidden(op, padding)
        if hidden is None or not torch.equal(hidden, ~padding):
            continue
        maker = _maker(view, op, padding)
        place, line = view.place(maker or op, "mask")
        yield found(
            "mask-turned",
            place,
            "masks the tokens and shows the padding: the key-padding mask is inverted (True means: is not seen)",
            at=line,
            evidence=f"the mask hides all {int((~padding).sum())} tokens of the batch and "
            f"none of its {int(padding.sum())} padded positions",
            effect="attention reads padding only: the inputs hardly matter",
            fix="key_padding_mask=(ids == pad); scores.masked_fill(ids == pad, float('-inf'))",
        )
        return


def mask_of_queries(subject: Subject) -> Iterator[Finding]:
    """Find a padding mask that hides the rows of padded queries, and shows the padded keys to all others."""
    view = seen(subject)
    padding = _padding(view) if view is not None else None
    if view is None or padding is None:
        return
    length = padding.shape[1]
    for op in view.path:
        scores = op.inputs[0].tensor if op.name == "softmax" and op.inputs else None
        if scores is None or scores.dim() < 3 or scores.shape[-2:] != (length, length) or len(scores) != len(padding):
            continue
        least = scores.amin(tuple(range(1, scores.dim() - 2))) if scores.dim() > 3 else scores
        hidden = least < HIDDEN
        rows, real = hidden.all(-1), ~padding
        if not torch.equal(rows, padding) or bool(hidden[real].any()):
            continue
        masking = op.inputs[0].maker
        place, line = view.place(masking if masking is not None and masking.own else op, "mask")
        yield found(
            "mask-of-queries",
            place,
            "masks the rows of the attention scores (padded queries), not their columns: every query still attends to "
            "the padded keys",
            at=line,
            evidence=f"rows of all {int(padding.sum())} padded positions are hidden, columns of none",
            effect="outputs hang on how much padding a batch has",
            fix="mask[:, None, :] for scores (batch, queries, keys), mask[:, None, None, :] with heads",
        )
        return


def _padding(view: View) -> Tensor | None:
    """Return which positions (samples, time) are padding: a run of one value at the end of most rows, and no other."""
    for fact in view.inputs:
        values = fact.tensor
        if values is None or len(values) < 4:
            continue
        if values.dim() == 2 and values.dtype in (torch.int64, torch.int32):
            is_pad = values == values[:, -1].mode().values
        elif values.dim() == 3 and values.is_floating_point():
            is_pad = (values == 0).all(-1)
        else:
            continue
        trailing = is_pad.flip(1).cumprod(1).flip(1).bool()
        padded, alone = trailing.any(1).float().mean(), bool((is_pad == trailing).all())
        if alone and float(padded) > HALF and not bool(trailing.all(1).any()):
            return trailing
    return None


def _hidden(op: Op, padding: Tensor) -> Tensor | None:
    """Return which keys an operation hides from all queries, of the shape of the padding."""
    if op.name == "multi_head_attention_forward":
        mask = op.kwargs.get("key_padding_mask")
    elif op.name == "masked_fill" and len(op.inputs) > 1:
        value = op.setting("value", 2)
        mask = op.inputs[1] if isinstance(value, int | float) and value < HIDDEN else None
    else:
        mask = None
    if not isinstance(mask, Fact) or mask.tensor is None:
        return None
    values = mask.tensor
    if values.dim() == 2 and len(values) == len(padding) and 0 < values.shape[1] - padding.shape[1] <= LEARNED:
        last = values[:, -padding.shape[1] :]
        values = last if torch.equal(last, ~padding) else values[:, : padding.shape[1]]
    if [size for size in values.shape if size > 1] != [size for size in padding.shape if size > 1]:
        return None
    values = values.reshape(padding.shape)
    return values if values.dtype == torch.bool else values < HIDDEN if values.is_floating_point() else None


def _maker(view: View, op: Op, padding: Tensor) -> Op | None:
    """Return the user's own comparison that made a mask, if it was made in the model."""
    for fact in op.inputs[1:]:
        for made in view.recording.ancestors(fact):
            given = made.outputs[0].tensor if made.outputs else None
            plain = given is not None and given.dtype == torch.bool and given.numel() == padding.numel()
            if plain and made.own and made.module is not None and made.name in ("eq", "ne", "gt", "lt", "ge", "le"):
                return made
    return None


RULES = (mask_added, mask_multiplied, mask_turned, mask_of_queries)
