"""Codes that an embedding looks up: cut from fractions, or kept at zero by ``padding_idx``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from trainkit.findings import Finding
from trainkit.inspection.recording import Fact, Op
from trainkit.inspection.subject import Subject, found

CASTS = ("long", "int", "short", "to", "type", "type_as")
FOLLOWED = ("getitem", "select", "unbind", "squeeze", "unsqueeze", "view", "reshape", "flatten", "t", "T", "transpose")
"""Operations that move codes and leave them as they are."""
OFTEN = 0.5
"""Multiple of an even share from which a code is as frequent as a category."""
LEAST = 3
"""Categories, or codes of a sample, from which these say something."""
SEVERAL = 10
"""Codes between others that are no accident."""
OPTIONAL = ("missing", "unknown", "absent", "empty", "unseen", "no category", "none of")
"""Words by which a program says that a code stands for no category."""


def truncated(subject: Subject) -> Iterator[Finding]:
    """Follow what embeddings look up back to a cast of fractions, which makes several codes one."""
    if not subject.runs:
        return
    told: set[int] = set()
    for path, module, index in _lookups(subject):
        cast, moved = _cast(index)
        if cast is None or cast.number in told or index.tensor is None:
            continue
        before = cast.inputs[0].tensor
        after = cast.outputs[0].tensor
        if before is None or after is None or before.shape != after.shape:
            continue
        looked_up = index.tensor.flatten()
        kinds = _kinds(before, after, index.tensor if moved else None)
        if kinds is None:
            continue
        many, few, example = kinds
        if not (2 <= many <= module.num_embeddings and few < many and few == len(looked_up.unique())):
            continue
        told.add(cast.number)
        yield found(
            "codes-truncated",
            f"{path}: codes",
            f"are fractions that a cast to long truncates: {many} categories become {few} index"
            + ("" if few == 1 else "es")
            + " of the embedding",
            at=cast.line,
            evidence=f"codes such as {example:.4g}; {path} has {module.num_embeddings} rows, and {few} of them is read",
            effect="categories share a row, constant where only one is left: the model cannot tell them apart",
            fix="Keep categorical codes as whole numbers: scale the other columns only",
        )


def _lookups(subject: Subject) -> Iterator[tuple[str, nn.Embedding, Fact]]:
    for call in subject.trace.recording.calls:
        if isinstance(call.module, nn.Embedding) and len(call.inputs) == 1:
            yield call.path, call.module, call.inputs[0]


def _cast(fact: Fact) -> tuple[Op | None, list[Op]]:
    """Return the cast from floats that codes come from, and the operations that moved them after it, the last first."""
    moved: list[Op] = []
    while fact.maker is not None:
        op = fact.maker
        if op.name in CASTS and op.inputs and op.inputs[0].dtype.is_floating_point:
            return (op if not fact.dtype.is_floating_point else None), moved
        if op.name not in (*FOLLOWED, *CASTS, "contiguous", "clone") or len(op.inputs) != 1:
            break
        moved.append(op)
        fact = op.inputs[0]
    return None, moved


def _kinds(before: Tensor, after: Tensor, column: Tensor | None) -> tuple[int, int, float] | None:
    """Return how many values the looked-up codes had before the cast and have after it, and a fraction among them.

    Args:
        before, after: What was cast, and what that gave.
        column: The codes that are looked up, where they are a column of it.
    """
    codes, whole = before, after
    if column is not None:
        if after.dim() != 2:
            return None
        place = next((number for number in range(after.shape[1]) if _is_one(after[:, number], column)), None)
        if place is None:
            return None
        codes, whole = before[:, place], after[:, place]
    fractions = codes[codes != codes.trunc()]
    if not len(fractions):
        return None
    return len(codes.unique()), len(whole.unique()), float(fractions[0])


def _is_one(one: Tensor, other: Tensor) -> bool:
    """Say whether two tensors are one piece of memory."""
    return one.numel() == other.numel() and one.data_ptr() == other.data_ptr()


def padded(subject: Subject) -> Iterator[Finding]:
    """See whether the index that ``padding_idx`` keeps at zero stands where nothing can be padding."""
    if not subject.runs:
        return
    told: set[str] = set()
    for path, module, index in _lookups(subject):
        line, codes = subject.where_built(path), index.tensor
        if module.padding_idx is None or codes is None or (key := str(line)) in told or not module.weight.requires_grad:
            continue
        if not _is_given(subject, index) or codes.shape[0] != subject.trace.inputs[0].shape[0]:
            continue
        seen = _among_real(codes, module)
        if seen is None or _is_optional(subject):
            continue
        told.add(key)
        share, where = seen
        number = module.padding_idx
        yield found(
            "padding-is-a-category",
            f"{path}: padding_idx",
            f"{number} is a real category: index {number} of the embedding stands {where}, where nothing is padded, "
            "and its row never learns",
            severity="warning",
            at=line,
            evidence=f"{share:.1%} of these codes are it; an even share of {module.num_embeddings} rows is "
            f"{1 / module.num_embeddings:.1%}",
            effect="its vector stays zero for ever",
            fix=f"nn.Embedding({module.num_embeddings}, {module.embedding_dim}); or give padding an index of its own",
        )


def _is_given(subject: Subject, fact: Fact) -> bool:
    """Say whether codes are those of the batch, moved and cast at most."""
    while fact.maker is not None:
        op = fact.maker
        if op.name not in (*FOLLOWED, *CASTS, "contiguous", "clone") or len(op.inputs) != 1:
            return False
        fact = op.inputs[0]
    return any(fact is given for given in subject.trace.inputs)


def _among_real(codes: Tensor, module: nn.Embedding) -> tuple[float, str] | None:
    """Return how frequent ``padding_idx`` is where it cannot be padding, and where; None if it is rare there."""
    is_padding = codes.eq(module.padding_idx or 0)
    if codes.dim() == 1:
        every = bool(torch.isin(torch.arange(module.num_embeddings), codes).all())
        share = float(is_padding.double().mean())
        ok = every and module.num_embeddings >= LEAST and share * module.num_embeddings >= OFTEN
        return (share, "alone in a sample") if ok else None
    if codes.dim() != 2 or codes.shape[1] < LEAST:
        return None
    real = ~is_padding
    inside = (real.cumsum(1) > 0) & (real.flip(1).cumsum(1).flip(1) > 0)
    between = int((inside & is_padding).sum())
    share = between / max(int(inside.sum()), 1)
    ok = between >= SEVERAL and share * module.num_embeddings >= OFTEN
    return (share, "between other codes") if ok else None


def _is_optional(subject: Subject) -> bool:
    """Say whether the source speaks of a code that stands for no category."""
    texts = [Path(file).read_text(encoding="utf-8", errors="replace").lower() for file in subject.files]
    return any(word in text for word in OPTIONAL for text in texts)


RULES = (truncated, padded)
