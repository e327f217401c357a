"""Attention and recurrent layers by hand: scores without their scale, masks too late, the wrong end of a direction."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from trainkit.findings import Finding
from trainkit.inspection.recording import Fact, Op
from trainkit.inspection.step.view import SHAPING, WEIGHT, View, seen, source, tensor_of
from trainkit.inspection.subject import Subject, found

PRODUCTS = ("matmul", "bmm", "mm", "rmatmul")
MASKS = ("masked_fill", "where", "contiguous", "float", "to")
HIDDEN = -1e3
"""Score below which a key is masked."""
LARGE = 2.0
"""Spread of scores at the start above which a softmax is nearly a choice of one."""


def attention(subject: Subject) -> Iterator[Finding]:
    """Look at each softmax of scores between queries and keys."""
    view = seen(subject)
    if view is None:
        return
    for op in view.path:
        if op.name != "softmax" or op.module is None or not op.inputs or len(op.inputs[0].shape) < 3:
            continue
        findings = [*_masked_late(view, op), *_unscaled(view, op)]
        yield from findings
        if findings:
            return


def _unscaled(view: View, op: Op) -> list[Finding]:
    fact, scales = op.inputs[0], 0
    while fact.maker is not None and (fact.maker.name in MASKS or _scales(fact.maker)):
        scales += _scales(fact.maker)
        fact = fact.maker.inputs[1 if fact.maker.name == "where" else 0]
    product = fact.maker
    if product is None or product.name not in PRODUCTS or len(product.inputs) < 2 or not _is_attention(view, op):
        return []
    width = product.inputs[0].shape[-1]
    made = [source(item, SHAPING | {"chunk", "split", "getitem", "unbind"})[0] for item in product.inputs[:2]]
    if width < 16 or any(maker is None or maker.name != "linear" for maker in made):
        return []
    plain, given = tensor_of(product.outputs[0]), tensor_of(op.inputs[0])
    if plain is None or given is None or not product.outputs[0].finite:
        return []
    seen_scores = given[given > HIDDEN] if scales else plain
    spread = float(seen_scores.std())
    if spread < LARGE or (scales and spread < 1.5 * float(plain.std())):
        return []
    place, line = view.place(product, "scores")
    done = "multiplied by a scale that makes them larger" if scales else f"without the scale 1 / sqrt({width})"
    return [
        found(
            "attention-not-scaled",
            place,
            f"gives the products of queries and keys to a softmax {done}: divide them by sqrt({width})",
            severity="warning",
            at=line,
            evidence=f"scores spread by {spread:.3g} at the start, with the scale by "
            f"{float(plain.std()) / width**0.5:.2g}",
            effect="the softmax is saturated: each query sees one key, and the gradient is small",
            fix="scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))",
        )
    ]


def _scales(op: Op) -> bool:
    """Say whether an operation multiplies or divides scores by one number."""
    others = [fact for fact in op.inputs[1:] if fact.tensor is None or fact.tensor.numel() > 1]
    return op.name in ("mul", "rmul", "div", "truediv") and not others and bool(op.inputs)


def _is_attention(view: View, op: Op) -> bool:
    """Say whether the result of a softmax weighs values, perhaps after a dropout."""
    readers = view.readers.get(op.outputs[0].number, [])
    after = [user for item in readers if item.name in ("dropout", "to") for user in _users(view, item.outputs[0])]
    return any(item.name in PRODUCTS for item in [*readers, *after])


def _users(view: View, fact: Fact) -> list[Op]:
    return view.readers.get(fact.number, [])


def _masked_late(view: View, op: Op) -> Iterator[Finding]:
    """Find weights that a mask sets to 0 after the softmax, and that are not normalised again."""
    for reader in _users(view, op.outputs[0]):
        if reader.name not in ("mul", "masked_fill") or len(reader.inputs) < 2 or not reader.outputs:
            continue
        mask = reader.inputs[1] if reader.inputs[0] in op.outputs else reader.inputs[0]
        values = tensor_of(mask)
        if values is None or WEIGHT in view.came(mask) or not bool(((values == 0) | (values == 1)).all()):
            continue
        if not bool((values == 0).any()) or not bool((values == 1).any()):
            continue
        if not any(user.name in PRODUCTS for user in _users(view, reader.outputs[0])):
            continue
        rows = tensor_of(reader.outputs[0])
        least = float(rows.sum(-1).min()) if rows is not None else 1.0
        if least > 0.99:
            continue
        place, line = view.place(reader, "mask")
        yield found(
            "mask-after-softmax",
            place,
            "masks attention weights after the softmax: what is masked has taken its share, "
            "and the rest does not sum to 1",
            severity="warning",
            at=line,
            evidence=f"weights of a query sum to {least:.2g} at least, not to 1",
            effect="outputs shrink with the number of masked keys (padding), and masked keys still count",
            fix='Mask the scores: scores.masked_fill(mask == 0, float("-inf")), then softmax.',
        )
        return


def wrong_end(subject: Subject) -> Iterator[Finding]:
    """Find the last step taken of a bidirectional layer, of which one direction has then seen that step only."""
    view = seen(subject)
    if view is None:
        return
    for call in view.recording.calls:
        layer = call.module
        if not isinstance(layer, nn.RNNBase) or not layer.bidirectional or not call.outputs:
            continue
        out, *states = call.outputs
        if any(_users(view, state) for state in states):
            continue
        for reader in _users(view, out):
            if reader.name != "getitem" or not _takes_last(reader, layer.batch_first) or not reader.own:
                continue
            place, line = view.place(reader, "out[:, -1]" if layer.batch_first else "out[-1]")
            yield found(
                "wrong-end-of-sequence",
                place,
                f"takes the last step of a bidirectional {type(layer).__name__}: "
                "its backward direction has seen only that one step there",
                severity="warning",
                at=line,
                evidence=f"{call.path or 'model'} is bidirectional; its final states are not read",
                effect="half of the features know nothing of the sequence",
                fix="Take both final states: torch.cat([h_n[-2], h_n[-1]], dim=1), or a mean over time.",
            )
            return


def _takes_last(op: Op, batch_first: bool) -> bool:
    key = op.args[1] if len(op.args) > 1 else None
    if not batch_first:
        return key == -1 or (isinstance(key, tuple) and len(key) > 0 and key[0] == -1 and type(key[0]) is int)
    return isinstance(key, tuple) and len(key) > 1 and key[0] == slice(None) and type(key[1]) is int and key[1] == -1


RULES = (attention, wrong_end)
