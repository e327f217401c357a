"""Ways that hold back what comes through: one unit between layers, tables held to tiny norms."""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch
from torch import nn

from trainkit.findings import Finding
from trainkit.inspection.recording import Fact, Op
from trainkit.inspection.step.bounds import ACTIVATIONS
from trainkit.inspection.step.slopes import behind
from trainkit.inspection.step.view import INPUT, PASSING, View, seen
from trainkit.inspection.subject import Subject, found

MEANT = re.compile(r"code|latent|bottleneck|squeeze|encod|embed|energy|gate|attn|attention|score|time|sigma|noise|cond")
THROUGH = PASSING | ACTIVATIONS | {"dropout", "batch_norm", "layer_norm"}
TINY = 0.05
"""Norm of an embedding's rows from which it is held small."""


def one_unit(subject: Subject) -> Iterator[Finding]:
    """Find a layer of one unit in the middle of a network, through which all has to go."""
    view = seen(subject)
    if view is None or not view.outputs:
        return
    for op in view.path:
        weight = op.inputs[1] if op.name == "linear" and len(op.inputs) > 1 else None
        if weight is None or op.module is None or weight.shape[0] != 1 or weight.shape[1] < 4:
            continue
        after = _next(view, op.outputs[0])
        if after is None or after.inputs[1].shape[0] < 2 or MEANT.search((op.module or "").lower()):
            continue
        if not _is_only_way(view, op) or _repeats_input(view) or behind(op.inputs[0])[0] in view.inputs:
            continue  # an index of the inputs, of which a curve is learnt, is no middle
        place, line = view.place(op)
        built = subject.where_built(op.module) if op.module else None
        yield found(
            "bottleneck-of-one",
            f"{op.module} ({type(view.model.get_submodule(op.module)).__name__})"
            if op.module and not op.own
            else place,
            f"is a bottleneck of one unit (width 1) in the middle of the network: out_features=1 here, and "
            f"{after.inputs[1].shape[0]} again after it",
            severity="warning",
            at=built or line,
            evidence=f"{weight.shape[1]} to 1, then 1 to {after.inputs[1].shape[0]}; no other way leads past it",
            effect="everything that the model knows of an input is one number: too narrow for all but a threshold",
            fix="Give it as many units as its neighbours",
        )
        return


def _repeats_input(view: View) -> bool:
    """Say whether the targets are the inputs: an autoencoder, whose code may be one number."""
    pairs = [(one.tensor, two.tensor) for one in view.inputs for two in (*view.targets, *view.outputs)]
    if not view.targets and any(one is not None and two is not None and one.shape == two.shape for one, two in pairs):
        return True
    goals = [fact.tensor for fact in view.targets if fact.tensor is not None]
    given = [fact.tensor for fact in view.inputs if fact.tensor is not None]
    return any(one.shape == two.shape and torch.equal(one, two) for one in given for two in goals)


def _next(view: View, fact: Fact) -> Op | None:
    """Return the linear layer that alone reads a tensor, through activations and norms."""
    while fact not in view.outputs:
        readers = [op for op in view.readers.get(fact.number, []) if op.outputs]
        if len(readers) != 1:
            return None
        (reader,) = readers
        if reader.name == "linear":
            return reader if reader.inputs[0] is fact and reader.inputs[1].shape[1] == 1 else None
        if reader.name not in THROUGH:
            return None
        fact = reader.outputs[0]
    return None


def _is_only_way(view: View, op: Op) -> bool:
    """Say whether nothing of the inputs gets to the outputs but through one operation."""
    waiting, passed = list(view.outputs), set()
    while waiting:
        fact = waiting.pop()
        if fact.maker is op or fact.number in passed:
            continue
        passed.add(fact.number)
        if fact in view.inputs:
            return False
        if fact.maker is not None:
            waiting += [item for item in fact.maker.inputs if INPUT in view.came(item)]
    return True


def held_small(subject: Subject) -> Iterator[Finding]:
    """Find embeddings whose rows max_norm holds to nearly nothing."""
    for path, module in subject.model.named_modules():
        limit = module.max_norm if isinstance(module, nn.Embedding | nn.EmbeddingBag) else None
        if limit is None or limit > TINY:
            continue
        kind = type(module).__name__
        yield found(
            "embedding-held-small",
            f"{path} ({kind}): max_norm",
            f"max_norm={limit:g} renormalises each row of the embedding to a norm of {limit:g} at most: all vectors "
            "are small, close to 0 and to each other",
            severity="warning",
            at=subject.where_built(path),
            evidence=f"rows as initialised have a norm of {module.embedding_dim**0.5:.2g}",
            effect="what comes after hardly sees which token it was, and no step can make the rows larger",
            fix=f"Leave max_norm out, or max_norm={module.embedding_dim**0.5:.2g}",
        )
        return


RULES = (one_unit, held_small)
