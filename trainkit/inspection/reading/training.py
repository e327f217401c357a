"""What a model's ``forward`` has no business with: backward and steps, modes, seeds, initialisation."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from trainkit.findings import Finding
from trainkit.inspection.reading.observed import Behaviour, behaviour
from trainkit.inspection.reading.parts import Part, forward_parts
from trainkit.inspection.recording import Op
from trainkit.inspection.source import Line, called, unparse
from trainkit.inspection.subject import Subject, found

SEEDS = ("manual_seed", "seed", "manual_seed_all", "seed_everything", "set_seed")
REDRAWN = {"normal", "uniform", "zero", "fill", "trunc_normal", "kaiming_uniform", "xavier_uniform", "zeros", "ones"}
REDRAWN |= {"xavier_normal", "kaiming_normal", "orthogonal"}


def training_in_model(subject: Subject) -> Iterator[Finding]:
    """Find forward that trains: backward, an optimizer's step, a change of mode, a seed, weights drawn anew."""
    seen = behaviour(subject)
    yield from _logic(subject)
    yield from _switches(subject, seen)
    yield from _seeds(subject, seen)
    if subject.runs:
        yield from _redrawn(subject)


def _logic(subject: Subject) -> Iterator[Finding]:
    for part in forward_parts(subject):
        for call in part.calls():
            name = called(call)
            last, base = name.rpartition(".")[2], name.rpartition(".")[0]
            optimizer = "optim" in base.lower() or base.lower().endswith("opt")
            if (last == "backward" and base and not call_is_class(part, call)) or (
                last in ("step", "zero_grad") and optimizer
            ):
                yield found(
                    "training-in-model",
                    f"{part.place}: {last}",
                    f"calls {name}() in the model's forward, which is training logic",
                    at=part.line(call),
                    effect="each forward changes gradients or weights, in evaluation too, beside the training loop",
                    fix="Return the output (or the loss), and do backward and step in the training loop",
                )


def call_is_class(part: Part, call: ast.Call) -> bool:
    """Say whether a method is called on a class, such as the ``backward`` of an autograd function."""
    return isinstance(call.func, ast.Attribute) and isinstance(part.meaning(call.func.value), type)


def _switches(subject: Subject, seen: Behaviour | None) -> Iterator[Finding]:
    for part in forward_parts(subject):
        for call in part.calls():
            name = called(call)
            last, base = name.rpartition(".")[2], name.rpartition(".")[0]
            if last not in ("train", "eval") or not base.startswith("self"):
                continue
            own = base == "self"
            path = part.path if own else f"{part.path}.{base[5:]}".lstrip(".")
            if seen is None:
                changed = own
            elif last == "eval":
                changed = seen.states[0].training.get(path, False) and not seen.states[1].training.get(path, True)
            else:
                changed = seen.evaluated.get(path, False)
            if not changed or (not own and not _matters(subject, path, last)):
                continue
            yield found(
                "mode-in-forward",
                f"{part.place}: {name}",
                f"calls {name}() in forward, which changes the mode of the model from within",
                at=part.line(call),
                evidence=f"after one forward {path or 'the model'} is in {last} mode",
                effect="dropout and batch norm work in the wrong mode from the first batch on",
                fix="Leave train() and eval() to the training loop, and read self.training here",
            )


def _matters(subject: Subject, path: str, switch: str) -> bool:
    """Say whether a switched part learns and has modes; a frozen one may be held in evaluation."""
    try:
        module = subject.model.get_submodule(path)
    except AttributeError:
        return False
    inner = list(module.modules())
    if switch == "train":
        return any(isinstance(item, _NormBase) for item in inner)
    learns = any(p.requires_grad for item in inner if not isinstance(item, _NormBase) for p in item.parameters(False))
    return learns and any(isinstance(item, _DropoutNd) and item.p > 0 for item in inner)


def _seeds(subject: Subject, seen: Behaviour | None) -> Iterator[Finding]:
    if seen is not None and not seen.reseeded:
        return
    for part in forward_parts(subject):
        for call in part.calls():
            name = called(call)
            if name.rpartition(".")[2] not in SEEDS or not call.args or not _global_seed(part, call):
                continue
            if part.guarded(call, "training") and "not" in unparse(part.around(call)[-1]):
                continue
            if any(isinstance(outer, ast.With) and "fork_rng" in unparse(outer) for outer in part.around(call)):
                continue
            yield found(
                "seed-in-forward",
                f"{part.place}: {name}",
                f"sets the seed of the whole process in forward with {unparse(call)}",
                at=part.line(call),
                evidence=f"the {', '.join(seen.reseeded)} generator is in one state after every pass" if seen else "",
                effect="every step draws the same dropout masks and noise, and data are shuffled alike",
                fix="Seed once before training, or draw from a torch.Generator of its own",
            )


def _global_seed(part: Part, call: ast.Call) -> bool:
    name = called(call)
    if name.startswith(("torch.", "np.random.", "numpy.random.", "random.")):
        return ".Generator" not in name
    return part.meaning(call) in (torch.manual_seed, torch.random.manual_seed, torch.seed)


def _redrawn(subject: Subject) -> Iterator[Finding]:
    told: set[Line] = set()
    parameters = dict(subject.model.named_parameters())
    for op in subject.trace.recording.ops:
        parameter = parameters.get(op.inputs[0].name) if op.inputs else None
        if not _redraws(op) or op.line is None or op.line in told or parameter is None or not parameter.requires_grad:
            continue
        if isinstance(parameter, nn.UninitializedParameter):
            continue
        told.add(op.line)
        name = op.inputs[0].name
        yield found(
            "weights-redrawn",
            f"{op.function}: {op.name}_({name})",
            f"initialises the weight {name} anew in every forward",
            at=_called_from(subject, op.function) or op.line,
            effect="what the optimizer learnt is thrown away at each batch",
            fix="Initialise once in __init__",
        )


def _called_from(subject: Subject, function: str) -> Line | None:
    """Return where forward calls a function that initialises, as ``__init__`` may do too."""
    calls = [
        part.line(call)
        for part in forward_parts(subject)
        for call in part.calls()
        if called(call).endswith(f".{function}")
    ]
    return calls[0] if calls and function != "forward" else None


def _redraws(op: Op) -> bool:
    return op.in_place and op.module is not None and op.name in REDRAWN


RULES = (training_in_model,)
