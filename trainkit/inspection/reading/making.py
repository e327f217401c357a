"""What ``forward`` makes and leaves behind: layers, hooks, graphs, seeds, modes and weights."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import partial

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from trainkit.findings import Finding
from trainkit.inspection.loop.copies import copies_with
from trainkit.inspection.reading.observed import Behaviour, behaviour
from trainkit.inspection.reading.parts import Part, assigned, forward_parts
from trainkit.inspection.source import Line, called, tree, walk
from trainkit.inspection.subject import Subject, found


def made_in_forward(subject: Subject) -> Iterator[Finding]:
    """Find layers and weights that forward makes anew, or registers after the optimizer was made."""
    told: set[Line] = set()
    seen = behaviour(subject)
    names = _new_names(subject, seen)
    for part in forward_parts(subject):
        for call in part.calls():
            made = _made(part, call)
            line = part.line(call)
            if made is None or line in told or part.guarded(call, "__init__"):
                continue
            target = _kept_as(part, call)
            if target is not None and not any(name.split(".")[0] == target or f".{target}." in name for name in names):
                continue  # made once and registered before the optimizer was
            told.add(line)
            yield _made_finding(part, call, made, target, line)
    if names and not told:
        first = next((at[0] for at in (assigned(subject.model, name.split(".")[0]) for name in names) if at), None)
        yield found(
            "made-in-forward",
            f"{type(subject.model).__name__}.{names[0]}",
            "is a weight that forward makes: it was not registered when the optimizer was made",
            at=first,
            evidence=f"{len(names)} parameters are new after one forward pass",
            effect="the optimizer does not have it: it is never trained",
            fix="Make it in __init__",
        )


def _made(part: Part, call: ast.Call) -> str | None:
    """Return what a call makes that has weights or modes of its own, as it is written."""
    meaning = part.meaning(call)
    if isinstance(meaning, type) and issubclass(meaning, nn.Parameter):
        return called(call)
    if isinstance(meaning, type) and issubclass(meaning, nn.Module) and not _bare(part, call, meaning):
        return called(call)
    return None


def _bare(part: Part, call: ast.Call, cls: type[nn.Module]) -> bool:
    """Say whether a class of modules has neither weights nor modes, such as ``nn.ReLU``."""
    if issubclass(cls, _DropoutNd):
        return not _thrown_modes(part, call)
    if cls.__module__.startswith("torch.nn.modules.") and cls.__module__.rpartition(".")[2] in BARE_FILES:
        return cls.__name__ not in ("PReLU", "MultiheadAttention")
    if issubclass(cls, nn.Sequential | nn.ModuleList | nn.ModuleDict):
        inner = [_made(part, item) for item in walk(call) if isinstance(item, ast.Call) and item is not call]
        return not any(inner)
    if issubclass(cls, _NormBase):
        settings = {keyword.arg: getattr(keyword.value, "value", None) for keyword in call.keywords}
        instance = "Instance" in cls.__name__
        return instance and not settings.get("affine") and not settings.get("track_running_stats")
    settings = {keyword.arg: getattr(keyword.value, "value", None) for keyword in call.keywords}
    if cls in (nn.LayerNorm, nn.RMSNorm) and settings.get("elementwise_affine") is False:
        return True
    if cls is nn.GroupNorm and settings.get("affine") is False:
        return True
    return _weightless(cls)


BARE_FILES = {"activation", "padding", "pooling", "loss", "distance", "flatten", "upsampling", "pixelshuffle", "fold"}
BARE_FILES |= {"channelshuffle"}


def _weightless(cls: type[nn.Module]) -> bool:
    if cls.__module__.startswith("torch."):
        return cls in (nn.Identity, nn.CosineSimilarity, nn.Softmax)
    code = getattr(cls.__init__, "__code__", None)
    names = set(code.co_names) if code is not None else set()
    return not names & {
        "Linear",
        "Parameter",
        "Conv1d",
        "Conv2d",
        "Embedding",
        "LSTM",
        "GRU",
        "ModuleList",
        "Sequential",
    }


def _thrown_modes(part: Part, call: ast.Call) -> bool:
    """Say whether a dropout layer is made and used at once, so that no mode reaches it."""
    outer = part.around(call)
    return bool(outer) and isinstance(outer[0], ast.Call | ast.Assign) and not part.guarded(call)


def _kept_as(part: Part, call: ast.Call) -> str | None:
    """Return the attribute of the model that a call's result is kept as."""
    for outer in part.around(call):
        if isinstance(outer, ast.Assign):
            names = [called(target) for target in outer.targets]
            return next((name[5:] for name in names if name.startswith("self.")), None)
        if isinstance(outer, ast.Call) and called(outer).rpartition(".")[2] in ("add_module", "register_parameter"):
            first = outer.args[0] if outer.args else None
            return str(first.value) if isinstance(first, ast.Constant) else None
    return None


def _new_names(subject: Subject, seen: Behaviour | None) -> list[str]:
    """Return names of parameters that are other objects after a pass than before."""
    if seen is None:
        return []
    before, after = seen.states[0].parameters, seen.states[1].parameters
    lazy = {name for name, p in subject.model.named_parameters() if isinstance(p, nn.UninitializedParameter)}
    return [name for name, number in after.items() if before.get(name) != number and name not in lazy]


def _made_finding(part: Part, call: ast.Call, made: str, target: str | None, line: Line) -> Finding:
    dropout = made.rpartition(".")[2].lower().endswith("dropout") or "Dropout" in made
    if dropout:
        effect, message = (
            "it drops in evaluation too",
            f"makes {made} anew in forward, where model.eval() does not reach it",
        )
        fix = "Make it in __init__, or write F.dropout(x, p, training=self.training)"
    elif target is not None:
        message = (
            f"makes {made} in forward as self.{target}: the optimizer, made before the first batch, does not have it"
        )
        effect, fix = "it is never trained", "Make it in __init__"
    else:
        message = f"makes {made} anew in every forward, with new random weights that are not registered"
        effect, fix = "it never learns, and its output is noise", "Make it in __init__ as self.NAME and call it here"
    return found("made-in-forward", f"{part.place}: {made}", message, at=line, effect=effect, fix=fix)


# ---------------------------------------------------------------------------- what is left behind


def left_behind(subject: Subject) -> Iterator[Finding]:
    """Find hooks and graphs that pile up from one forward pass to the next."""
    seen = behaviour(subject)
    if seen is None or len(seen.states) < 3:
        return
    first, second, third = seen.states
    growing = [
        name for name, count in third.hooks.items() if count > second.hooks.get(name, 0) > first.hooks.get(name, 0)
    ]
    if growing:
        line = _line_of(subject, lambda part, node: "register_" in called(node) and "hook" in called(node))
        name = growing[0]
        counts = f"{name or 'model'}: {second.hooks[name]} hooks after one batch, {third.hooks[name]} after two"
        yield found(
            "hooks-pile-up",
            f"{line[0].place if line else type(subject.model).__name__ + '.forward'}: register hook",
            "registers a hook in every forward and never removes it",
            at=line[1] if line else None,
            evidence=counts,
            effect="every batch runs all hooks of those before it: slower each step, and memory is never freed",
            fix="Register once in __init__, or keep the handle and call handle.remove()",
        )
    yield from _graphs(subject, seen)


def _graphs(subject: Subject, seen: Behaviour) -> Iterator[Finding]:
    first, second, third = seen.states
    for (path, attribute), count in third.graphs.items():
        before = second.graphs.get((path, attribute), 0)
        if before == 0:
            continue
        module = dict(subject.model.named_modules()).get(path, subject.model)
        place = f"{type(module).__name__}.{attribute}"
        keeps = partial(_keeps, f"self.{attribute}")
        line = _line_of(subject, keeps, last=True)
        if seen.second_error is not None and "second time" in str(seen.second_error):
            if subject.once(_own_step_goes_on):
                return
            yield found(
                "state-not-detached",
                place,
                "carries the state of one batch, with its graph, into the next: it is never detached",
                at=line[1] if line else None,
                evidence=f"{type(seen.second_error).__name__} in the second step",
                effect="backward runs through the batches before it, and fails or takes ever longer",
                fix=f"Write self.{attribute} = state.detach()",
            )
            return
        if count > 1.3 * before and before > first.graphs.get((path, attribute), 0):
            cleared = _cleared(subject, attribute)
            yield found(
                "graph-kept",
                place,
                "collects tensors with their graphs, batch after batch",
                severity="info" if cleared else "error",
                at=line[1] if line else None,
                evidence=f"graphs of {before} operations after one batch, of {count} after two",
                effect="no graph is ever freed: memory grows until it runs out",
                fix="Keep value.detach() or value.item()",
            )


def _own_step_goes_on(subject: Subject) -> bool:
    """Say whether the user's own step can be taken twice: it may reset or detach the state itself."""
    if subject.train_step is None:
        return False
    with copies_with(subject, subject.train_step) as copies:
        copies.model.train()
        try:
            for _ in range(2):
                copies.functions[0](copies.model, subject.batch, copies.loss, copies.optimizer)
        except Exception:  # noqa: BLE001 - what the user's code raises is what is asked for
            return False
    return True


def _keeps(name: str, part: Part, node: ast.AST) -> bool:
    if isinstance(node, ast.Assign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        flat = [inner for target in targets for inner in walk(target)]
        return any(called(target) == name for target in flat)
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("append", "extend", "insert", "add", "update")
        and called(node.func.value) == name
    )


def _cleared(subject: Subject, attribute: str) -> bool:
    for file in subject.files:
        whole = tree(file)
        for node in walk(whole) if whole is not None else ():
            if isinstance(node, ast.Call) and called(node).endswith((f"{attribute}.clear", f"{attribute}.pop")):
                return True
            if isinstance(node, ast.Assign) and any(
                called(target).endswith(f".{attribute}") and not called(target).startswith("self.")
                for target in node.targets
            ):
                return True
    return False


def _line_of(subject: Subject, wanted: Callable[[Part, ast.AST], bool], last: bool = False) -> tuple[Part, Line] | None:
    lines = [
        (part, part.line(node))
        for part in forward_parts(subject)
        for node in part.walk()
        if isinstance(node, ast.Call | ast.Assign | ast.AugAssign) and wanted(part, node)
    ]
    return lines[-1 if last else 0] if lines else None


RULES = (made_in_forward, left_behind)
