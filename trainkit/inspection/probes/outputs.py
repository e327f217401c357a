"""Evaluation twice, and of part of a batch: an output may hang on its own sample alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from trainkit.findings import Finding, Severity
from trainkit.inspection.passes import (
    NEAR,
    PROBED,
    counts_samples,
    distance,
    evaluated,
    in_eval,
    probed,
    steady,
    taken,
)
from trainkit.inspection.recording import Op, Recording, flat, recorded
from trainkit.inspection.source import Line, called, code_of, own_classes, tree, walk
from trainkit.inspection.subject import Stuck, Subject, found
from trainkit.inspection.untouched import kept_generators

NOISE = (
    *("dropout", "alpha_dropout", "feature_dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout"),
    *("rand", "randn", "rand_like", "randn_like", "randint", "randint_like", "randperm", "normal", "uniform"),
    *("bernoulli", "multinomial", "poisson", "exponential", "gumbel_softmax", "rrelu", "geometric", "log_normal"),
)

MOVING = ("roll", "flip", "getitem", "index_select")
"""Operations that give samples the rows of others."""


def deterministic(subject: Subject) -> Iterator[Finding]:
    """Evaluate one batch twice, under two seeds."""
    if not subject.runs or steady(subject).is_steady:
        return
    with subject.scratch() as scratch, torch.no_grad():
        model, batch = in_eval(scratch.model), probed(subject)
        recording, first, error = recorded(model, lambda: subject.forward(model, batch), gradients=False)
        if error is not None:
            raise Stuck(str(error))
        with kept_generators(1):
            second = subject.forward(model, batch)
    apart = distance(first, second)
    if apart is None or apart <= NEAR:
        return
    noises = [op for op in recording.of(*NOISE) if _is_random(op)]
    if not noises:
        yield _stateful(subject, batch, apart)
        return
    noise = next((op for op in noises if op.own), noises[0])
    evidence = f"two evaluations of one batch differ by {apart:.0%} of the largest output"
    if all(_is_meant(op, recording) for op in noises):
        message = "draws at random in eval() too"
        fix = "Use the mean when not self.training, if figures are to be comparable"
        place = _place(subject, noise)
        yield found("eval-noise", place, message, severity="info", at=noise.line, evidence=evidence, fix=fix)
        return
    message = "random also in eval(): the noise does not follow self.training"
    effect = "every validation and prediction is noisy, and worse than the model"
    fix = f"Draw only `if self.training`, or write {written(noise)}(..., training=self.training)"
    yield found("eval-noise", _place(subject, noise), message, at=noise.line, evidence=evidence, effect=effect, fix=fix)


def independent(subject: Subject) -> Iterator[Finding]:
    """Evaluate each half of a batch alone, and the batch in another order."""
    if not subject.runs or steady(subject).is_steady:
        return
    batch = probed(subject)
    if not counts_samples(batch):
        return
    whole, outputs, error = evaluated(subject, batch)
    if error is not None:
        return
    for kept, change in (
        (torch.arange(PROBED // 2, PROBED), "when the others leave the batch"),
        (torch.arange(PROBED // 2), "when the others leave the batch"),
        (torch.randperm(PROBED, generator=torch.Generator().manual_seed(0)), "with its place in the batch"),
    ):
        part, alone, failed = evaluated(subject, taken(batch, kept))
        if failed is not None or not _same_way(whole, part):
            return
        for one, other in zip(flat(outputs), flat(alone), strict=False):
            if one.dim() == 0 or one.shape[0] != PROBED or other.shape[1:] != one.shape[1:]:
                continue
            apart = distance(_reordered(one, kept), other)
            if apart is not None and apart > NEAR:
                if (distance(outputs, _again(subject, batch)) or 0.0) > NEAR:
                    return  # it is random, and that is told
                evidence = f"a sample's output changes by {apart:.0%} of the largest {change}"
                mixing = _first_that_mixes(whole, part, kept)
                if mixing is not None and mixing.name in MOVING and _is_served(outputs, alone, kept):
                    return
                if mixing is None or mixing.name not in NOISE:  # else a draw of its own seed, as of a fixed mask
                    yield _mixing(subject, mixing, evidence)
                return


def _is_served(outputs: Any, alone: Any, kept: Tensor) -> bool:
    """Say whether some output of a sample is its own: others beside it hold it against strangers, as negatives."""
    pairs = zip(flat(outputs), flat(alone), strict=False)
    rows = [(a, b) for a, b in pairs if a.dim() > 0 and len(a) == PROBED and len(b) == len(kept)]
    return any((distance(a[kept], b) or 0.0) <= NEAR for a, b in rows if a.shape[1:] == b.shape[1:])


def _reordered(output: Tensor, kept: Tensor) -> Tensor:
    """Return the rows of some samples; of a table of pairs of samples the columns too."""
    for axis in range(1, output.dim()):
        if output.shape[axis] == len(kept) == PROBED:
            output = output.index_select(axis, kept)
    return output[kept]


def _again(subject: Subject, batch: Any) -> Any:
    with subject.scratch(1) as scratch, torch.no_grad():
        return subject.forward(in_eval(scratch.model), batch)


def _mixing(subject: Subject, op: Op | None, evidence: str) -> Finding:
    effect = "samples see each other: the model cannot serve one alone, and validation flatters it"
    severity: Severity
    recurrent = _recurrent(subject, op)
    if recurrent is not None:
        path, module = recurrent
        name = type(module).__name__
        message = f"{name} without batch_first=True is given (batch, time, feature): it runs along the batch"
        fix = f"{name}(..., batch_first=True), or give it x.transpose(0, 1)"
        at = subject.where_built(path)
        place = f"{path}: batch_first"
        return found("batch-mixing", place, message, at=at, evidence=evidence, effect=effect, fix=fix)
    norm = _batch_norm(subject, op)
    if norm is not None and op is not None:
        path, module = norm
        kind, at = type(module).__name__, subject.where_built(path)
        place, tracks = f"{path} ({kind})", bool(getattr(module, "track_running_stats", True))
        message = (
            "normalises by the batch in eval() too: it stays in training mode"
            if tracks
            else f"{kind} has track_running_stats=False: eval() uses the statistics of the batch"
        )
        fix = "Let eval() reach it" if tracks else f"{kind}(...) as it is by default"
        severity = "error" if tracks else "warning"
        return found(
            "batch-mixing", place, message, severity=severity, at=at, evidence=evidence, effect=effect, fix=fix
        )
    message = "mixes the samples of a batch"
    fix = "Let it work along the other dimensions; the first one counts the samples"
    if op is None:
        return found("batch-mixing", "model", message, evidence=evidence, effect=effect, fix=fix)
    shapes = f"{written(op)} over {', '.join(str(list(fact.shape)) for fact in op.inputs[:2])}"
    if (dim := op.setting("dim", 1)) is not None and isinstance(dim, int | tuple | list):
        shapes += f" with dim={dim}"
    severity = "error"
    if op.outputs and op.outputs[0].shape == () and len(op.inputs[0].shape) > 1:
        severity, message = "warning", "takes one number over the whole batch: a sample depends on the other samples"
        fix = f"Take it per sample: {op.name} over all dimensions but the first, with keepdim=True"
    place, at = _place(subject, op), _line_of(subject, op)
    evidence = f"{shapes}; {evidence}"
    return found("batch-mixing", place, message, severity=severity, at=at, evidence=evidence, effect=effect, fix=fix)


def _first_that_mixes(whole: Recording, part: Recording, kept: Tensor) -> Op | None:
    """Return the first operation that reads the same values in both runs, for the samples in both, and gives others."""
    for one, other in zip(whole.ops, part.ops, strict=True):
        read = list(zip(one.inputs, other.inputs, strict=False))
        if not all(_agree(a.tensor, b.tensor, kept) for a, b in read):
            continue
        if not all(_agree(a.tensor, b.tensor, kept) for a, b in zip(one.outputs, other.outputs, strict=False)):
            return one
    return None


def _agree(one: Tensor | None, other: Tensor | None, kept: Tensor) -> bool:
    """Say whether two tensors hold the same values for the samples in both, along whichever dimension counts them."""
    if one is None or other is None:
        return True
    if one.shape == other.shape and (distance(one, other) or 0.0) <= NEAR:
        return True
    for dim in range(min(one.dim(), other.dim())):
        size, less = one.shape[dim], other.shape[dim]
        if size % PROBED == 0 and size and less * PROBED == size * len(kept):
            block = size // PROBED
            index = (kept[:, None] * block + torch.arange(block)).flatten()
            return (distance(one.index_select(dim, index.to(one.device)), other) or 0.0) <= NEAR
    return False


def _same_way(whole: Recording, part: Recording) -> bool:
    """Say whether two runs took the same operations; a model that routes by its data does not."""
    return [(op.name, op.module) for op in whole.ops] == [(op.name, op.module) for op in part.ops]


def _recurrent(subject: Subject, op: Op | None) -> tuple[str, nn.Module] | None:
    if op is None or op.module is None:
        return None
    module = subject.model.get_submodule(op.module)
    if isinstance(module, nn.RNNBase | nn.MultiheadAttention) and not module.batch_first:
        return op.module, module
    path = op.module
    while path:  # an attention within a layer of torch's own, which takes the argument
        path = path.rpartition(".")[0]
        outer = subject.model.get_submodule(path)
        layer = isinstance(outer, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer)
        if layer and getattr(outer.self_attn, "batch_first", True) is False:
            return path, outer
    return None


def _batch_norm(subject: Subject, op: Op | None) -> tuple[str, nn.Module] | None:
    if op is None or not op.module:
        return None
    module = subject.model.get_submodule(op.module)
    return (op.module, module) if isinstance(module, nn.modules.batchnorm._BatchNorm) else None


def _line_of(subject: Subject, op: Op) -> Line | None:
    if op.own or not op.module:
        return op.line
    return subject.where_built(op.module) or op.line


def _stateful(subject: Subject, batch: Any, apart: float) -> Finding:
    """Tell of noise that is not torch's, or of state: two evaluations under one seed tell which."""
    with subject.scratch(3) as scratch, torch.no_grad():
        model = in_eval(scratch.model)
        before = _held(model)
        first = subject.forward(model, batch)
        after = _held(model)
        with kept_generators(3):
            second = subject.forward(model, batch)
    evidence = f"two evaluations of one batch differ by {apart:.0%} of the largest output"
    carried = distance(first, second) not in (None, 0.0)
    call = None if carried else next(_draws(subject), None)
    if call is not None:
        place, at = call
        message = "random also in eval(): noise of numpy or random does not follow self.training"
        effect = "every validation and prediction is noisy, and worse than the model"
        fix = "Draw only `if self.training`, with torch.randn_like"
        return found("eval-noise", place, message, at=at, evidence=evidence, effect=effect, fix=fix)
    changed = next((key for key, value in after.items() if value and distance(before[key], value) != 0.0), None)
    message = "gives two outputs for one input in eval(), and no operation of torch draws at random"
    return found(
        "eval-noise",
        "model" if changed is None else f"{type(model.get_submodule(changed[0])).__name__}.{changed[1]}",
        f"is carried from batch to batch: the model {message}" if carried and changed else message,
        severity="info" if carried and (not subject.shuffle or subject.train_step is not None) else "warning",
        at=_assigned(model.get_submodule(changed[0]), changed[1]) if changed else None,
        evidence=evidence,
        effect="validation depends on what was evaluated before",
        fix="Begin each sequence with a state of zeros, at the latest in eval()"
        if carried
        else "Look for state that forward changes, numpy's or Python's random numbers",
    )


def _held(model: nn.Module) -> dict[tuple[str, str], list[Tensor]]:
    """Return copies of the tensors that a model's modules hold in plain attributes, by path and attribute."""
    return {
        (path, name): [tensor.detach().clone() for tensor in flat(value)]
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if not name.startswith("_")
    }


def _assigned(module: nn.Module, name: str) -> Line | None:
    """Return the line of ``forward`` that sets an attribute."""
    code = code_of(type(module))
    forward = code.methods().get("forward") if code is not None else None
    for node in walk(forward.node) if forward is not None else ():
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr == name and forward:
            return forward.line(node)
    return None


def _draws(subject: Subject) -> Iterator[tuple[str, Line]]:
    """Yield calls of numpy's and Python's random numbers in the user's modules, forward first."""
    for _, module, code in own_classes(subject.model):
        methods = code.methods()
        for name, method in sorted(methods.items(), key=lambda item: item[0] != "forward"):
            for node in walk(method.node) if name != "__init__" else ():
                dotted = called(node) if isinstance(node, ast.Call) else ""
                if dotted.startswith(("np.random.", "numpy.random.", "random.")) or ".rng." in f".{dotted}":
                    yield f"{type(module).__name__}.{name}: {dotted}", method.line(node)


def _is_random(op: Op) -> bool:
    if "dropout" in op.name or op.name == "rrelu":
        training = op.setting("training", 2 if op.name != "rrelu" else 3, True)
        return bool(training) and op.setting("p", 1, 0.5) != 0.0
    return op.kwargs.get("generator") is None


def _is_meant(op: Op, recording: Recording) -> bool:
    """Say whether noise is a sampling model's: scaled by what the model computed, or asked for in so many words."""
    if op.line is not None and any(word in op.line.text for word in ("training=True", "train=True")):
        return True
    for fact in op.outputs:
        for user in recording.users(fact):
            others = [other for other in user.inputs if other is not fact]
            if user.name == "mul" and any(other.maker is not None or other.name for other in others):
                return True
    return op.name in ("multinomial", "bernoulli", "gumbel_softmax", "poisson")


def _place(subject: Subject, op: Op) -> str:
    owner = "loss" if op.module is None else None
    if owner is None and op.module is not None:
        path = op.module
        while True:
            module = subject.model.get_submodule(path)
            if code_of(type(module)) is not None:
                owner = f"{type(module).__name__}.{op.function or 'forward'}"
                break
            if not path:
                return op.module or "model"
            path = path.rpartition(".")[0]
    if not op.own and op.module:
        return f"{op.module} ({type(subject.model.get_submodule(op.module)).__name__})"
    return f"{owner}: {written(op)}"


def written(op: Op) -> str:
    """Return the name of an operation as its line writes it: ``F.dropout``."""
    line = op.line
    whole = tree(line.file) if line is not None else None
    for node in walk(whole) if whole is not None else ():
        if line is None or not isinstance(node, ast.Call):
            continue
        if node.lineno <= line.line <= (node.end_lineno or node.lineno):
            name = called(node)
            if name.rpartition(".")[2].strip("_") == op.name:
                return name.lstrip(".")
    return op.name


RULES = (deterministic, independent)
