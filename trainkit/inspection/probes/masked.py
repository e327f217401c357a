"""Masked tokens: a loss over those that stay visible asks for a copy of what the model reads."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.passes import probed
from trainkit.inspection.probes.origins import made_at, method_of
from trainkit.inspection.recording import flat
from trainkit.inspection.source import Line, code_of, tree, unparse, walk
from trainkit.inspection.step.slopes import sloped
from trainkit.inspection.subject import Subject, found, unpacked

ONE = 0.6
"""Share of the changed positions that hold one id, from which it is that of the mask."""
FEW = 0.5
"""Share of changed positions from which hidden tokens are not the exception."""
SLIGHT = 0.3
"""Weight of visible tokens, beside that of masked ones, up to which a loss is not about them."""


def _labelled(subject: Subject) -> tuple[Tensor, Tensor] | None:
    """Return tokens and labels of their shape, if the training has such."""
    if not subject.runs:
        return None
    inputs, target = unpacked(probed(subject))
    tokens = next((x for x in flat(inputs) if _is_like(x, target)), None)
    return (tokens, target) if tokens is not None and isinstance(target, Tensor) else None


def visible(subject: Subject) -> Iterator[Finding]:
    """Hold the labels of masked-language modelling against the inputs: where the loss counts, and what stands there."""
    pair = _labelled(subject)
    if pair is None:
        return
    tokens, target = pair
    said = target >= 0
    same = tokens == target
    if bool(said.all()):
        yield from _everywhere(subject, tokens, target)
        return
    hidden = tokens[~said]
    count = int(said.sum())
    if count == 0 or not bool(same[said].all()) or len(hidden) < 4:
        return
    mask = hidden.mode().values
    at_mask = float((hidden == mask).double().mean())
    if at_mask < ONE or bool((tokens[said] == mask).any()) or _is_behind(~said) or _is_behind(tokens == mask):
        return
    yield _finding(
        subject,
        "error",
        "the labels are those of the visible tokens, and -100 (ignore_index) where a token is masked: the mask is the "
        "wrong way round, and the loss asks for a copy of the input",
        f"all {count} labels equal the input at their position; {at_mask:.0%} of the positions without a label hold "
        f"the mask token {int(mask)}",
        "labels = tokens.masked_fill(~masked, -100)",
    )


def _everywhere(subject: Subject, tokens: Tensor, target: Tensor) -> Iterator[Finding]:
    """Find masked inputs whose labels stand at the visible tokens too, where the loss counts them."""
    changed = tokens != target
    share = float(changed.double().mean())
    if not 0.02 < share < FEW:
        return
    mask = tokens[changed].mode().values
    if float((tokens[changed] == mask).double().mean()) < ONE or bool((target == mask).any()):
        return
    if _is_behind(changed) or _is_decoded(subject, tokens, target) or not _is_counted(subject, mask):
        return
    yield _finding(
        subject,
        "warning",
        "the labels stand at the visible tokens too, not at the masked ones alone: most of the loss asks for a copy of "
        "the input (-100, ignore_index, is missing)",
        f"{1 - share:.0%} of the labels equal the input at their position; the others hold the mask token {int(mask)}",
        "labels = tokens.masked_fill(~masked, -100)",
    )


def _is_like(tokens: Tensor, target: object) -> bool:
    plain = isinstance(target, Tensor) and tokens.shape == target.shape and tokens.dim() == 2
    whole = plain and not tokens.is_floating_point() and tokens.dtype != torch.bool
    return whole and isinstance(target, Tensor) and not target.is_floating_point() and len(tokens.unique()) > 3


def _is_behind(where: Tensor) -> bool:
    """Say whether positions are those at the end of rows, or at their start: padding, or a prompt."""
    behind = where.flip(1).cumprod(1).flip(1).bool()
    before = where.cumprod(1).bool()
    return torch.equal(behind | before, where)


def _is_decoded(subject: Subject, tokens: Tensor, target: Tensor) -> bool:
    """Say whether the model reads the labels too, as a decoder that continues them: none is for the masked ones."""
    text = target.tolist()
    for given in flat(unpacked(probed(subject))[0]):
        if given is tokens or given.dim() != 2 or len(given) != len(target) or given.is_floating_point():
            continue
        rows = zip(given.tolist(), text, strict=True)
        if all(one == two or one[1:] == two[: len(one) - 1] or one == two[: len(one)] for one, two in rows):
            return True
    return False


def _is_counted(subject: Subject, mask: Tensor) -> bool:
    """Say whether the loss counts visible tokens about as much as masked ones."""
    taken = sloped(subject)
    if taken is None:
        return False
    view, slopes = taken
    tokens = next((fact.tensor for fact in view.inputs if fact.tensor is not None and fact.tensor.dim() == 2), None)
    for fact in view.outputs:
        slope = slopes.get(fact.number)
        if slope is None or tokens is None or slope.dim() != 3:
            continue
        size = slope.abs()
        by_position = size.sum(-1) if size.shape[:2] == tokens.shape else size.sum(1)
        if by_position.shape == tokens.shape:
            shown, hidden = by_position[tokens != mask], by_position[tokens == mask]
            return bool(shown.mean() > SLIGHT * hidden.mean())
    return False


def _finding(subject: Subject, severity: str, message: str, evidence: str, fix: str) -> Finding:
    place, line = _maker(subject)
    return found(
        "loss-on-visible",
        place,
        message,
        severity="error" if severity == "error" else "warning",
        at=line,
        evidence=evidence,
        effect="the model learns to copy visible tokens, which is trivial, and little or nothing of the masked ones",
        fix=fix,
    )


def _maker(subject: Subject) -> tuple[str, Line | None]:
    """Return where the labels are made: in the user's collate, or in ``__getitem__``."""
    place, code = "train_set: labels", method_of(subject.train_set, "__getitem__")
    if subject.collate is not None and (given := code_of(subject.collate)) is not None:
        place, code = "collate: labels", given.methods().get("__call__", given)
    if code is None:
        return place, made_at(subject, "train_set")
    returns = [node for node in walk(code.node) if isinstance(node, ast.Return)]
    last = returns[-1].value if returns else None
    part = last.elts[-1] if isinstance(last, ast.Tuple) and last.elts else last
    names = {node.id for node in walk(part) if isinstance(node, ast.Name)} if part is not None else set()
    if isinstance(part, ast.Name):
        for node in reversed(list(walk(code.node))):
            targets = node.targets if isinstance(node, ast.Assign) else []
            if any(isinstance(item, ast.Name) and item.id in names for item in targets):
                return place, code.line(node)
    return place, code.line(returns[-1]) if returns else code.line(code.node)


def mask_is_a_token(subject: Subject) -> Iterator[Finding]:
    """Find masked tokens that are replaced by an id which real tokens have too."""
    pair = _labelled(subject)
    if pair is None:
        return
    tokens, target = pair
    said = target >= 0
    changed = said & (tokens != target)
    share = float(changed.double().mean())
    if not 0.02 < share < FEW or bool(said.all()) or _is_behind(said) or _is_behind(~said):
        return
    mask = tokens[changed].mode().values
    if float((tokens[changed] == mask).double().mean()) < ONE or float((changed[said]).double().mean()) < ONE:
        return
    shown = int((tokens[~said] == mask).sum())
    kinds = len(tokens[~said].unique())
    even = (~said).sum() / max(kinds, 1)
    if shown < 3 or shown < 0.3 * float(even):
        return
    share = float((tokens[changed] == mask).double().mean())
    place, line = _mask_line(subject, int(mask))
    yield found(
        "mask-is-a-token",
        place,
        f"the mask token {int(mask)} is also a real token: a masked position looks like a visible word",
        severity="warning",
        at=line,
        evidence=f"{share:.0%} of the masked positions hold {int(mask)}, and so do {shown} of {int((~said).sum())} "
        "visible ones",
        effect="the model cannot tell what is hidden from what is said",
        fix="Give the mask an id of its own: MASK = vocab_size, nn.Embedding(vocab_size + 1, d)",
    )


def _mask_line(subject: Subject, mask: int) -> tuple[str, Line | None]:
    """Return the constant that names the mask token, else where the labels are made."""
    for file in subject.files:
        whole = tree(file)
        for node in whole.body if whole is not None else ():
            plain = isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and node.value.value == mask
            if plain and isinstance(node, ast.Assign) and "mask" in (name := unparse(node.targets[0])).lower():
                return f"{_maker(subject)[0].partition(':')[0]}: {name}", Line(file, node.lineno)
    place, line = _maker(subject)
    return place.replace("labels", "mask"), line


RULES = (visible, mask_is_a_token)
