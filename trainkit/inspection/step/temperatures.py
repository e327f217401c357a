"""The candidates of one softmax, joined of several parts: similarities that are scaled in one part, not in another."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from trainkit.findings import Finding
from trainkit.inspection.recording import Fact, Op
from trainkit.inspection.step.terms import where
from trainkit.inspection.step.view import PASSING, SHAPING, WEIGHT, View, seen
from trainkit.inspection.subject import Subject, found

JUDGES = ("cross_entropy", "log_softmax", "logsumexp", "softmax")
JOINING = ("cat", "concat", "hstack", "column_stack")
SCALING = frozenset(["div", "truediv", "mul", "rmul"])
PICKING = PASSING | {"diagonal", "diag", "float", "to", "clone", "masked_fill"}
"""Operations that choose among similarities, and leave each as it is."""
PRODUCTS = ("matmul", "mm", "bmm", "einsum", "cosine_similarity", "sum")
"""Operations that give similarities."""
APART = 1.5
"""Ratio of two factors from which they are not one temperature."""


class Scale(NamedTuple):
    """What similarities are multiplied by: a number and tensors. And what last was done to them."""

    factor: float
    tensors: frozenset[int]
    last: Op


def uneven(subject: Subject) -> Iterator[Finding]:
    """Find a softmax over positives and negatives of which a temperature divides one part only."""
    view = seen(subject)
    if view is None:
        return
    for op in view.path:
        joined = op.inputs[0].maker if op.name in JUDGES and op.module is None and op.inputs else None
        if joined is None or joined.name not in JOINING or len(joined.inputs) < 2:
            continue
        scaled = [_scaled(view, part) for part in joined.inputs]
        known = [one for one in scaled if one is not None]
        if len(known) < len(scaled) or _is_even(known):
            continue
        least = min(known, key=lambda scale: (len(scale.tensors), abs(math.log(scale.factor))))
        place, line = where(view, op, "temperature")
        yield found(
            "temperature-on-one-side",
            place,
            "divides one part of the candidates of a softmax by a temperature and not the other: positive and negative "
            "similarities are not on one scale",
            at=least.last.line or line,
            evidence=f"the {len(known)} parts that are joined are similarities times "
            f"{' and '.join(f'{factor:.3g}' for factor, *_ in known)}",
            effect="the loss is won or lost by the scale, whatever the embeddings say",
            fix="logits = torch.cat([positive, negative], dim=1) / temperature",
        )
        return


def _is_even(known: list[Scale]) -> bool:
    """Say whether all parts are scaled, or none is: two temperatures of their own are meant."""
    bare = [not scale.tensors and 1 / APART < scale.factor < APART for scale in known]
    return all(bare) or not any(bare)


def _scaled(view: View, fact: Fact) -> Scale | None:
    """Return by what similarities were multiplied, before they were taken and after; None where it cannot be told."""
    after = _walked(fact, PICKING)
    if after is None or fact.maker is None or WEIGHT not in view.came(fact):
        return None
    (factor, tensors), product = after
    if product.maker is None or product.maker.name not in PRODUCTS:
        return None
    op, operands = product.maker, product.maker.inputs
    if op.name == "sum" and operands and operands[0].maker is not None and operands[0].maker.name == "mul":
        operands = operands[0].maker.inputs
    for operand in operands:
        before = _walked(operand, SHAPING)
        if before is None:
            return None
        factor, tensors = factor * before[0][0], tensors | before[0][1]
    return Scale(factor, tensors, fact.maker)


def _walked(fact: Fact, through: frozenset[str]) -> tuple[tuple[float, frozenset[int]], Fact] | None:
    """Return the numbers and tensors that a tensor was multiplied by since the first that some operations changed."""
    factor, tensors = 1.0, frozenset[int]()
    while fact.maker is not None and fact.maker.inputs and fact.maker.name in through | SCALING:
        op = fact.maker
        if op.name in SCALING:
            by = op.setting("other", 1)
            if isinstance(by, int | float) and by > 0:
                factor *= by if "mul" in op.name else 1 / by
            elif isinstance(by, Fact) and not by.shape:
                tensors |= {by.number}
            else:
                return None if through is PICKING else ((factor, tensors), fact)
        fact = op.inputs[0]
    return (factor, tensors), fact


RULES = (uneven,)
