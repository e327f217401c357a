"""Activations and dropouts that do another thing than they are put there for."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from trainkit.findings import Finding
from trainkit.inspection.loop.parameters import where_optimized
from trainkit.inspection.recording import Op
from trainkit.inspection.step.structure import LINEAR
from trainkit.inspection.step.view import WEIGHT, View, dim_of, seen, source, tensor_of
from trainkit.inspection.subject import Subject, found

BARE = {"dropout1d": 2, "dropout3d": 4}
"""Dimensions at which a dropout of channels takes the first one, which counts the samples, for the channels."""
STUCK = 0.2
"""Share of the first answers in the flat part of a clamp."""
THROUGH = frozenset(["dropout", "view", "reshape", "flatten", "squeeze", "unsqueeze", "contiguous"])


def straight(subject: Subject) -> Iterator[Finding]:
    """Find leaky ReLUs whose slope is 1: they bend nothing."""
    view = seen(subject)
    for op in view.path if view is not None else ():
        if op.name != "leaky_relu" or op.setting("negative_slope", 1, 0.01) != 1 or view is None:
            continue
        fact, given = op.inputs[0], op.outputs[0]
        if fact.low is None or fact.low >= 0 or (fact.low, fact.high) != (given.low, given.high):
            continue
        place, line = view.place(op)
        yield found(
            "activation-is-linear",
            place,
            "with negative_slope=1 gives back what it is given: an activation that is linear (the identity), no "
            "LeakyReLU",
            at=line,
            evidence=f"input and output both {fact.low:.3g}..{fact.high:.3g}",
            effect="the layers around it are one linear layer: nothing non-linear can be learnt",
            fix="nn.LeakyReLU(0.01)",
        )
        return


def whole_samples(subject: Subject) -> Iterator[Finding]:
    """Find dropouts of channels that are given no channels and drop whole samples of the batch."""
    view = seen(subject)
    for op in view.path if view is not None else ():
        share = op.setting("p", 1, 0.5)
        dims = BARE.get(op.name)
        if view is None or dims is None or not op.inputs or len(op.inputs[0].shape) != dims or not share:
            continue
        if op.inputs[0].shape[0] != view.size or not op.setting("training", 2, True):
            continue
        place, line = view.place(op)
        kind = f"D{op.name[1:]}"
        yield found(
            "dropout-of-samples",
            place,
            f"is given {tuple(op.inputs[0].shape)}, which {kind} takes for one sample without a batch dimension: it "
            "drops whole rows, that is all features of a sample at once",
            severity="warning",
            at=line,
            evidence=f"p={share:g} of the {view.size} samples of a batch become 0 altogether",
            effect="the model is asked for the answer to nothing, and the features of the others are never dropped",
            fix="nn.Dropout(p) for features; Dropout1d and Dropout3d are for (N, C, L) and (N, C, D, H, W)",
        )
        return


def hidden_softmax(subject: Subject) -> Iterator[Finding]:
    """Find softmax in the place of a hidden activation."""
    view = seen(subject)
    if view is None:
        return
    hits = [op for op in view.path if op.name == "softmax" and op.inputs and _is_hidden(view, op)]
    if not hits:
        return
    place, line = view.place(hits[0])
    width = hits[0].inputs[0].shape[-1]
    yield found(
        "softmax-hidden",
        place,
        "is a softmax as the activation of a hidden layer: all units share a sum of 1, so each is about "
        f"1/{width} and they differ little",
        severity="warning" if len(hits) > 1 or _bends_later(view, hits[0]) else "info",
        at=line,
        evidence=f"{len(hits)} softmax between linear layers, output up to {hits[0].outputs[0].high or 0:.3g}",
        effect="activations and gradients become tiny (they vanish with depth)",
        fix="Use nn.ReLU() or nn.GELU() between layers; softmax is for the last layer, attention and gates",
    )


def _is_hidden(view: View, op: Op) -> bool:
    made = source(op.inputs[0])[0]
    fact = op.outputs[0]
    if made is None or made.name not in LINEAR or op.module is None or dim_of(op) != len(op.inputs[0].shape) - 1:
        return False
    if op.inputs[0].shape[-1] < 8 or WEIGHT not in view.came(op.inputs[0]):
        return False
    while True:
        readers = [reader for reader in view.readers.get(fact.number, []) if reader.outputs]
        if len(readers) != 1 or fact in view.outputs:
            return False
        if readers[0].name in LINEAR:
            return readers[0].inputs[0] is fact and len(readers[0].inputs) > 2
        if readers[0].name not in THROUGH:
            return False
        fact = readers[0].outputs[0]


def _bends_later(view: View, op: Op) -> bool:
    """Say whether two layers follow: the softmax is no mixture that the last layer reads out."""
    later = [item for item in view.path if item.number > op.number and item.name in LINEAR and item.module is not None]
    return len(later) > 2


def idle_dropout(subject: Subject) -> Iterator[Finding]:
    """Tell of recurrent layers whose dropout is between layers that they do not have."""
    for path, module in subject.model.named_modules():
        if isinstance(module, nn.RNNBase) and module.num_layers == 1 and module.dropout:
            kind = type(module).__name__
            yield found(
                "dropout-without-effect",
                f"{path} ({kind}): dropout",
                f"dropout={module.dropout:g} has no effect: {kind} applies it between its layers, and num_layers is 1 "
                "(one layer)",
                severity="info",
                at=subject.where_built(path),
                evidence=f"{kind}(num_layers=1, dropout={module.dropout:g})",
                effect="nothing is dropped",
                fix="Put nn.Dropout(p) after it, or use num_layers=2",
            )
            return


def decayed_slopes(subject: Subject) -> Iterator[Finding]:
    """Tell of PReLUs under weight decay, which pulls them to ReLU."""
    slopes = {id(p) for m in subject.model.modules() if isinstance(m, nn.PReLU) for p in m.parameters()}
    paths = [path for path, module in subject.model.named_modules() if isinstance(module, nn.PReLU)]
    for optimizer in subject.optimizers:
        for group in optimizer.param_groups:
            decay = float(group.get("weight_decay") or 0.0)
            if decay > 0 and any(id(p) in slopes for p in group["params"]):
                yield found(
                    "decayed-slopes",
                    f"{paths[0]} (PReLU): weight_decay",
                    f"weight decay of {decay:g} also pulls the slope of PReLU to 0",
                    severity="info",
                    at=where_optimized(subject),
                    evidence=f"{len(paths)} PReLU in a group with weight_decay={decay:g}",
                    effect="PReLU turns into ReLU; its paper says not to use weight decay for it",
                    fix="A second group with weight_decay=0 for the slopes",
                )
                return


def clamped_answers(subject: Subject) -> Iterator[Finding]:
    """Find a clamp as the last operation that many answers run into: there it has no gradient."""
    view = seen(subject)
    if view is None or len(view.outputs) != 1:
        return
    op = source(view.outputs[0])[0]
    if op is None or op.name not in ("clamp", "clip", "hardtanh", "relu6") or op.module is None or not op.inputs:
        return
    made = source(op.inputs[0])[0]
    before, after = tensor_of(op.inputs[0]), tensor_of(op.outputs[0])
    if made is None or made.name not in LINEAR or before is None or after is None:
        return
    share = float((before != after).float().mean())
    if share < STUCK or not any(sink.inputs[0] in (op.outputs[0], view.outputs[0]) for sink in view.sinks()):
        return
    place, line = view.place(op)
    yield found(
        "answers-clamped",
        place,
        f"is a {op.name} as the last operation: outside of its range it is flat, and an answer that is clipped there "
        "gets no gradient (saturated)",
        severity="warning",
        at=line,
        evidence=f"{share:.0%} of the first answers are cut off, {before.min():.3g}..{before.max():.3g} to "
        f"{after.min():.3g}..{after.max():.3g}",
        effect="these answers stay wrong: nothing tells the model in which direction to go",
        fix="Use torch.sigmoid (scaled to the range) in training, and clamp in evaluation only",
    )


def frozen_in_train(subject: Subject) -> Iterator[Finding]:
    """Find dropout at work in a frozen part of the model that runs without gradients: a teacher is to be quiet."""
    view = seen(subject) if subject.train_step is None else None
    for op in view.recording.ops if view is not None else ():
        if view is None or op.grad_enabled or not op.module or not op.name.endswith("dropout") or not op.inputs:
            continue
        name = op.module.partition(".")[0]
        weights = list(view.model.get_submodule(name).parameters())
        if not weights or any(p.requires_grad for p in weights) or op.outputs[0].zeros <= op.inputs[0].zeros:
            continue
        yield found(
            "teacher-in-train",
            f"{type(view.model).__name__}.{name}",
            f"runs in train mode with the model: its {op.name} drops values, though it is frozen and runs without "
            "gradients, as a teacher or an extractor does",
            severity="info" if _has_twin(view, name) else "warning",  # a mean teacher may be as noisy as its student
            at=subject.where_built(name) or op.line,
            evidence=f"{op.module} drops in a training step; none of the {len(weights)} weights of {name} is trained",
            effect="what it teaches is noisy",
            fix=f"def train(self, mode=True): super().train(mode); self.{name}.eval(); return self",
        )
        return


def _has_twin(view: View, name: str) -> bool:
    """Say whether another part has weights of the same shapes, which are trained: the student that it follows."""
    shapes = [p.shape for p in view.model.get_submodule(name).parameters()]
    others = [list(part.parameters()) for path, part in view.model.named_children() if path != name]
    return any([p.shape for p in ps] == shapes and all(p.requires_grad for p in ps) for ps in others)


RULES = (clamped_answers, frozen_in_train, straight, whole_samples, hidden_softmax, idle_dropout, decayed_slopes)
