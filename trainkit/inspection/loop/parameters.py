"""Which parameters are trained: each trainable one in one group of one optimizer, and each of those with a gradient."""

from __future__ import annotations

import ast
import copy
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from trainkit.findings import Finding
from trainkit.inspection.loop import losses, state
from trainkit.inspection.loop.copies import copies_with
from trainkit.inspection.loop.watching import STRAY, Watched, watched
from trainkit.inspection.source import Line, called, code_of, tree, unparse, walk
from trainkit.inspection.subject import Stuck, Subject, found

NAMED = 4
"""Parameters that a message names."""
NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def held(subject: Subject) -> Iterator[Finding]:
    """Compare the model's parameters with the optimizers'."""
    if not subject.optimizers:
        return
    names = {id(parameter): name for name, parameter in subject.model.named_parameters()}
    groups = [group for optimizer in subject.optimizers for group in optimizer.param_groups]
    counts = Counter(id(parameter) for group in groups for parameter in group["params"])
    yield from _strangers(subject, names, [parameter for group in groups for parameter in group["params"]])
    yield from _missing(subject, names, counts)
    yield from _several_times(subject, names, groups, counts)
    yield from _frozen(subject, names, groups)


def _several_times(
    subject: Subject, names: dict[int, str], groups: list[Any], counts: Counter[int]
) -> Iterator[Finding]:
    """Tell of parameters in two places: of one optimizer, or of several that all step."""
    twice = [names[key] for key, count in counts.items() if count > 1 and key in names]
    if not twice:
        return
    within = any(
        count > 1
        for optimizer in subject.optimizers
        for count in Counter(id(p) for group in optimizer.param_groups for p in group["params"]).values()
    )
    certain = within or _on_one_gradient(subject)
    meant = not certain and subject.train_step is not None
    yield found(
        "parameter-twice",
        _place(subject),
        f"holds {listed(twice)} more than once: each step moves these parameters again (duplicate)",
        severity="error" if certain else "info" if meant else "warning",
        at=where_optimized(subject),
        evidence=f"{len(twice)} parameters in two {'places of one optimizer' if within else 'optimizers'}",
        effect="their rate is a multiple of what is set",
        fix="Put each parameter in one group: shared ones appear once in model.parameters()",
    )


def _on_one_gradient(subject: Subject) -> bool:
    """Say whether the user's step lets two optimizers move one parameter along the gradient of one backward pass."""
    seen = _watched(subject)
    held = [{id(p) for group in o.param_groups for p in group["params"]} for o in subject.optimizers]
    for events in seen.steps if seen is not None else ():
        stepped: set[int] = set()
        for event in events:
            if event.kind in ("backward", "zero_grad"):
                stepped.clear()
            elif event.kind == "step" and event.which is not None and event.which != STRAY:
                if any(held[event.which] & held[other] for other in stepped - {event.which}):
                    return True
                stepped.add(event.which)
    return False


def _watched(subject: Subject) -> Watched | None:
    """Return what the user's own steps did; None where there are none or nothing can be copied."""
    try:
        return watched(subject) if subject.train_step is not None else None
    except Stuck:
        return None


def _frozen(subject: Subject, names: dict[int, str], groups: list[Any]) -> Iterator[Finding]:
    """Tell of frozen parameters that the optimizer holds, as an aside."""
    frozen = [names[id(p)] for group in groups for p in group["params"] if id(p) in names and not p.requires_grad]
    if frozen and len(frozen) < len(names) and not subject.planned:
        yield found(
            "frozen-in-optimizer",
            _place(subject),
            f"holds frozen parameters: {listed(frozen)}",
            severity="info",
            at=where_optimized(subject),
            evidence=f"{len(frozen)} without requires_grad",
            effect="none while they have no gradient; with one left over, weight decay and momentum move them",
            fix="(p for p in model.parameters() if p.requires_grad)",
        )


def _missing(subject: Subject, names: dict[int, str], counts: Counter[int]) -> Iterator[Finding]:
    """Tell of trainable parameters with a gradient that no optimizer moves."""
    graded = _graded(subject)
    left = [
        name
        for name, parameter in subject.model.named_parameters()
        if parameter.requires_grad and id(parameter) not in counts and (graded is None or name in graded)
    ]
    if not counts and names:
        yield found("nothing-trained", _place(subject), "holds no parameter", at=where_optimized(subject))
        return
    if not left:
        return
    total = sum(parameter.requires_grad for parameter in subject.model.parameters())
    if len(left) == total:
        return  # strangers: told by themselves
    kind = _kind(left, subject.model)
    yield found(
        "not-in-optimizer",
        _place(subject),
        f"{kind} not in the optimizer, though trainable: {listed(left)} missing",
        severity="error" if graded is not None else "warning",
        at=where_optimized(subject),
        evidence=f"{len(left)} of {total} trainable parameters, {_size(subject.model, left):,} values, "
        + ("get gradients and stay as initialised" if graded is not None else "are in no group"),
        effect="they are never trained",
        fix="Give it model.parameters(), or a second group for these; requires_grad_(False) if they are to stay",
    )


def _graded(subject: Subject) -> set[str] | None:
    """Return the parameters that get a gradient, and that nothing moves by hand; None where that cannot be seen."""
    model = subject.given if subject.given is not None else subject.model
    by_hook = {name for name, p in model.named_parameters() if getattr(p, "_post_accumulate_grad_hooks", None)}
    seen = _watched(subject)
    if seen is not None and seen.error is None and seen.steps:
        return {name for name in seen.unheld - by_hook if not _is_written(subject, name)}
    if not subject.runs:
        return None
    return {name for name, gradient in subject.trace.gradients.items() if gradient is not None} - by_hook


def _is_written(subject: Subject, name: str) -> bool:
    """Say whether the user's code writes into a parameter of the user's own name, be it in some steps only."""
    last = name.rpartition(".")[2]
    if last in ("weight", "bias"):
        return False  # what is written there is how layers start
    wanted = re.compile(rf"\.{re.escape(last)}(\.data)?\.(add|sub|mul|copy|lerp|fill|clamp)_\(")
    return any(wanted.search(unparse(whole)) for file in subject.files if (whole := tree(file)) is not None)


def _strangers(subject: Subject, names: dict[int, str], given: list[Tensor]) -> Iterator[Finding]:
    """Tell of parameters that are not the model's: layers replaced after the optimizer was made, another model's."""
    extra = [parameter for parameter in given if id(parameter) not in names]
    if not extra or not names:
        return
    inner = {id(tensor) for tensor in _loss_parameters(subject)}
    extra = [parameter for parameter in extra if id(parameter) not in inner]
    trained = [name for key, name in names.items() if any(id(parameter) == key for parameter in given)]
    shapes = {tuple(parameter.shape) for parameter in extra}
    free = [
        name
        for name, parameter in subject.model.named_parameters()
        if name not in trained and tuple(parameter.shape) in shapes
    ]
    alike = len(free) >= len(extra)
    if not extra or (trained and not free):
        return  # it trains more than this model, such as a loss or a second network
    message = "holds parameters that the model has no more" if alike else "holds parameters of another model"
    yield found(
        "stale-parameters",
        _place(subject),
        f"{message}: {listed(free or list(names.values()))} are not in the optimizer",
        at=where_optimized(subject),
        evidence=f"{len(extra)} of {len(given)} parameters in it belong to no module of the model",
        effect="the steps move tensors that nothing reads",
        fix="Make the optimizer last: after layers are replaced, loaded, moved or copied",
    )


def _loss_parameters(subject: Subject) -> Iterable[Tensor]:
    return subject.loss.parameters() if isinstance(subject.loss, nn.Module) else ()


def frozen_whole(subject: Subject) -> Iterator[Finding]:
    """Tell of a model of which nothing can be trained."""
    parameters = list(subject.model.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        yield found(
            "nothing-trained",
            "model",
            "all its parameters are frozen: requires_grad is False",
            evidence=f"{len(parameters)} parameters",
            effect="no step changes anything",
            fix="requires_grad_(True) for what is to be trained",
        )


def frozen_norm(subject: Subject) -> Iterator[Finding]:
    """Train a copy's forward pass: a frozen batch norm must not follow the data."""
    frozen = [
        (path, module)
        for path, module in subject.model.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats and _is_frozen(module)
    ]
    parents = {path.rpartition(".")[0] for path, _ in frozen}
    if not frozen or not _is_fine_tuned(subject, parents):
        return
    moving = [path for path in _moving(subject, [path for path, _ in frozen]) if not _has_twin(subject.model, path)]
    if not moving:
        return
    path = moving[0]
    kind = type(subject.model.get_submodule(path)).__name__
    yield found(
        "frozen-norm-moves",
        f"{path} ({kind})",
        f"is frozen, but {kind} still follows the new data: its running statistics move in train mode",
        severity="warning",
        at=_where_frozen(subject) or subject.where_built(path),
        evidence=f"{len(moving)} frozen norm{'s' * (len(moving) > 1)} in train mode in a training step",
        effect="the features of the frozen backbone change during training",
        fix="Put it in eval() after each train(): override train(mode), call super().train(mode) and "
        f"self.{path.split('.')[0]}.eval()",
    )


def _moving(subject: Subject, paths: list[str]) -> list[str]:
    """Return the norms whose statistics follow the data in a training step, and whose network stays as it is."""
    if subject.train_step is None:
        with subject.scratch() as scratch:
            model = scratch.model
            model.train()
            moving = [path for path in paths if model.get_submodule(path).training]
        if not subject.runs:
            return moving
        called_so = {call.path: call.training for call in subject.trace.recording.calls}  # forward may set the mode
        return [path for path in moving if called_so.get(path, True)]
    with copies_with(subject, subject.train_step) as copies:
        model = copies.model
        model.train()
        before = {name: value.detach().clone() for name, value in model.state_dict().items()}
        try:
            copies.functions[0](model, copy.deepcopy(subject.batch), copies.loss, copies.optimizer)
        except Exception as error:
            raise Stuck(str(error)) from error
        moved = {name for name, value in model.state_dict().items() if not torch.equal(before[name], value)}
    weights = moved & {name for name, _ in subject.model.named_parameters()}
    return [
        path
        for path in paths
        if f"{path}.running_mean" in moved and not any(name.startswith(_whole(subject.model, path)) for name in weights)
    ]


def _whole(model: nn.Module, path: str) -> str:
    """Return the path of the largest frozen part that holds a module, with a dot."""
    while (parent := path.rpartition(".")[0]) and not any(
        p.requires_grad for p in model.get_submodule(parent).parameters()
    ):
        path = parent
    return f"{path}."


def _has_twin(model: nn.Module, path: str) -> bool:
    """Say whether a frozen network is a copy of one that is trained: a target that follows it by hand, no backbone."""
    whole = _whole(model, path)[:-1]
    ours = dict(model.get_submodule(whole).named_parameters())
    for other, module in model.named_modules():
        theirs = dict(module.named_parameters())
        if other == whole or theirs.keys() != ours.keys() or not all(p.requires_grad for p in theirs.values()):
            continue
        if all(torch.equal(theirs[name], value) for name, value in ours.items()):
            return True
    return False


def _is_fine_tuned(subject: Subject, parents: set[str]) -> bool:
    """Say whether a frozen norm stands among frozen layers, and is no lone norm without weights to train."""
    for parent in parents:
        module = subject.model.get_submodule(parent)
        others = [p for m in module.children() if not isinstance(m, NORMS) for p in m.parameters()]
        if any(not parameter.requires_grad for parameter in others):
            return True
    return False


def _is_frozen(module: nn.Module) -> bool:
    parameters = list(module.parameters(recurse=False))
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)


def _where_frozen(subject: Subject) -> Line | None:
    """Return the line that freezes: ``requires_grad_(False)`` or ``requires_grad = False``."""
    for file in subject.files:
        whole = tree(file)
        for node in walk(whole) if whole is not None else ():
            if isinstance(node, ast.Call) and called(node).endswith("requires_grad_"):
                return Line(file, node.lineno)
            if isinstance(node, ast.Assign) and any(
                isinstance(target, ast.Attribute) and target.attr == "requires_grad" for target in node.targets
            ):
                return Line(file, node.lineno)
    return None


def norm_decay(subject: Subject) -> Iterator[Finding]:
    """Tell of norms under weight decay, as an aside; other biases it only pulls to 0, where they began."""
    gains = {id(p) for module in subject.model.modules() if isinstance(module, NORMS) for p in module.parameters(False)}
    for optimizer in subject.optimizers:
        for group in optimizer.param_groups:
            decay = float(group.get("weight_decay") or 0.0)
            hit = sum(id(parameter) in gains for parameter in group["params"])
            if decay >= 0.01 and hit:
                yield found(
                    "decayed-norms",
                    "optimizer: weight_decay",
                    f"{decay:g} decays the gains and biases of norms too",
                    severity="info",
                    at=where_optimized(subject),
                    evidence=f"{hit} parameters of norms",
                    effect="it pulls gains to 0, against what they are for",
                    fix="A second group with weight_decay=0 for parameters with fewer than two dimensions",
                )
                return


def where_optimized(subject: Subject) -> Line | None:
    """Return the line at fault in the making of the optimizer: where parameters are chosen, else where it is made."""
    code = code_of(subject.make_optimizer) if subject.make_optimizer is not None else None
    if code is not None:
        for node in walk(code.node):
            chosen = isinstance(node, ast.ListComp | ast.GeneratorExp) and node.generators[0].ifs
            if chosen and any("parameters" in called(call) for call in walk(node) if isinstance(call, ast.Call)):
                return code.line(node)
        made = next(code.calls(type(subject.optimizers[0]).__name__), None) if subject.optimizers else None
        return code.line(made if made is not None else code.node)
    for file in subject.files:
        whole = tree(file)
        for node in walk(whole) if whole is not None and subject.optimizers else ():
            name = type(subject.optimizers[0]).__name__
            if isinstance(node, ast.Call) and called(node).rpartition(".")[2] == name:
                return Line(file, node.lineno)
    return None


def listed(names: list[str]) -> str:
    """Return some names, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"


def _place(subject: Subject) -> str:
    made = subject.make_optimizer
    name = getattr(made, "__name__", "optimizer") if made is not None else "optimizer"
    return "optimizer" if name == "<lambda>" else name


def _kind(names: list[str], model: nn.Module) -> str:
    """Return in words what some parameters have in common."""
    leaves = {name.rpartition(".")[2] for name in names}
    if leaves == {"bias"}:
        return "biases are"
    heads = {name.split(".")[0] for name in names}
    if len(heads) == 1 and len(heads) < len(dict(model.named_children())):
        return f"all of {heads.pop()} is" if len(names) > 1 else f"{names[0]} is"
    return "parameters are"


def _size(model: nn.Module, names: list[str]) -> int:
    wanted = set(names)
    return sum(parameter.numel() for name, parameter in model.named_parameters() if name in wanted)


RULES = (frozen_whole, held, frozen_norm, norm_decay, *losses.RULES, *state.RULES)
