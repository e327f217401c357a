"""What a module promises and a class breaks: hooks that run, modes that switch, weights that are tied."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from torch import nn

from trainkit.findings import Finding
from trainkit.inspection.reading.classes import codes_of
from trainkit.inspection.reading.observed import HOOKS
from trainkit.inspection.reading.parts import forward_parts, targets_of
from trainkit.inspection.source import Code, Line, called, code_of, own_classes, unparse, walk
from trainkit.inspection.subject import Subject, found


def forward_called(subject: Subject) -> Iterator[Finding]:
    """Find layers whose ``forward`` is called directly, past their hooks."""
    for part in forward_parts(subject):
        for call in part.calls():
            function = call.func
            if not isinstance(function, ast.Attribute) or function.attr != "forward":
                continue
            base = called(function.value)
            if isinstance(function.value, ast.Call) or not base or base == "self":
                continue
            meaning = part.meaning(function.value)
            if isinstance(meaning, type):
                continue
            targets = _targets(subject.model, part.path, base)
            hooked = [path for path, module in targets if any(getattr(module, name, None) for name in HOOKS)]
            kinds = {type(hook).__name__ for path, module in targets for hook in module._forward_pre_hooks.values()}
            yield found(
                "forward-called",
                f"{part.place}: {base}.forward",
                f"calls {base}.forward(...) directly, which skips the hooks of {base}",
                severity="error" if hooked else "info",
                at=part.line(call),
                evidence=f"{hooked[0]} has hooks {', '.join(sorted(kinds))}".strip()
                if hooked
                else "it has no hooks now",
                effect="what its hooks do (spectral_norm, weight_norm, pruning, features) does not happen"
                if hooked
                else "",
                fix=f"Write {base}(...)",
            )


def _targets(model: nn.Module, path: str, base: str) -> list[tuple[str, nn.Module]]:
    """Return the modules that an expression such as ``self.body`` or a loop's ``block`` may be."""
    owner = model.get_submodule(path)
    if base.startswith("self."):
        value: Any = owner
        for name in base.split(".")[1:]:
            value = getattr(value, name, None)
        return [(f"{path}.{base[5:]}".lstrip("."), value)] if isinstance(value, nn.Module) else []
    return [(f"{path}.{name}".lstrip("."), module) for name, module in owner.named_modules() if name]


# ---------------------------------------------------------------------------- train() and eval()


def modes(subject: Subject) -> Iterator[Finding]:
    """Switch a copy to evaluation, and see what does not follow."""
    if _any_override(subject.model) is None:
        return  # what torch wrote follows
    with subject.scratch() as scratch:
        model = scratch.model
        try:
            model.train()
            given = model.eval()
        except TypeError as error:
            yield _mode_finding(model, f"eval() fails, as train() takes no mode: {error}", "error")
            return
        stuck = [path for path, module in model.named_modules() if module.training]
        if stuck and (place := _overridden(model)) is not None:
            method = place[0].rpartition(".")[2]
            where = f"{stuck[0] or 'the model itself'} is still in training mode"
            message = f"does not call super().{method}(...): after model.eval() {where}"
            yield _mode_finding(model, message, "error", len(stuck))
        elif given is not model:
            returned = f"returns {type(given).__name__}, not the model, so `model = model.eval()` loses it"
            yield _mode_finding(model, returned, "info")


def _overrides(model: nn.Module) -> Iterator[tuple[str, Code]]:
    for _, _, code in own_classes(model):
        methods = code.methods()
        yield from ((methods[name].name, methods[name]) for name in ("train", "eval") if name in methods)


def _overridden(model: nn.Module) -> tuple[str, Code] | None:
    return next((item for item in _overrides(model) if not _calls_super(item[1])), None)


def _any_override(model: nn.Module) -> tuple[str, Code] | None:
    return next(_overrides(model), None)


def _calls_super(code: Code) -> bool:
    """Say whether a method calls the inherited one of its name, and with the mode."""
    method = code.name.rpartition(".")[2]
    calls = [node for node in walk(code.node) if isinstance(node, ast.Call) and called(node).endswith(f".{method}")]
    calls = [
        call for call in calls if "super(" in unparse(call.func) or called(call).startswith(("nn.Module", "torch.nn"))
    ]
    return any(method == "eval" or call.args or call.keywords for call in calls)  # train() alone is train(True)


def _mode_finding(model: nn.Module, message: str, severity: Any, count: int = 0) -> Finding:
    place = _overridden(model) or _any_override(model)
    return found(
        "mode-override",
        place[0] if place else "model.eval",
        message,
        severity=severity,
        at=place[1].line(place[1].node) if place else None,
        evidence=f"{count} modules" if count else "",
        effect="dropout and batch norm work in the wrong mode" if severity == "error" else "",
        fix="Write def train(self, mode=True): super().train(mode); ...; return self",
    )


def uninitialised(model: nn.Module) -> list[Finding]:
    """Find modules whose ``__init__`` never called ``super().__init__()``: nothing else can be looked at then."""
    waiting, seen, findings = [model], set(), []
    while waiting:
        module = waiting.pop(0)
        if id(module) in seen:
            continue
        seen.add(id(module))
        held = vars(module).get("_modules")
        if held is not None:
            waiting += [child for child in held.values() if child is not None]
            continue
        code = code_of(type(module))
        init = code.methods().get("__init__") if code is not None else None
        findings.append(
            found(
                "missing-super-init",
                f"{type(module).__name__}.__init__",
                "does not call super().__init__(), so it has no parameters() and cannot be called",
                at=init.line(init.node) if init is not None else code.line(code.node) if code is not None else None,
                effect="nothing can be trained",
                fix="Write super().__init__() as the first statement of __init__",
            )
        )
    return findings


def storage_ties(subject: Subject) -> Iterator[Finding]:
    """Find two parameters that share their memory but are two objects: a tie that the next copy or move breaks."""
    model = subject.given if subject.given is not None else subject.model
    first: dict[tuple[int, tuple[int, ...]], str] = {}
    for name, parameter in model.named_parameters():
        if isinstance(parameter, nn.UninitializedParameter) or parameter.numel() < 2 or not parameter.requires_grad:
            continue
        other = first.setdefault((parameter.data_ptr(), tuple(parameter.shape)), name)
        if other == name or parameter.data_ptr() == 0:
            continue
        yield found(
            "storage-tie",
            name,
            f"shares its memory with {other} and is another nn.Parameter: they are not tied",
            severity="warning",
            at=_tie_line(subject, name),
            evidence=f"two parameters {list(parameter.shape)} at one address",
            effect="each gets a gradient and an update of its own, and to(device) or a copy ends the sharing",
            fix=f"Assign the parameter itself: self.{name} = self.{other}",
        )


def _tie_line(subject: Subject, name: str) -> Line | None:
    for code in codes_of(subject):
        for node in walk(code.node):
            targets = [called(target) for target in targets_of(node)]
            short = ".".join(name.split(".")[-2:])
            if any(target.removesuffix(".data").endswith(short) for target in targets):
                return code.line(node)
    return None


RULES = (storage_ties, forward_called, modes)
