"""The user's own evaluation, run on a copy: what it changes, in which mode it looks, and what it averages."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from trainkit.findings import Finding
from trainkit.inspection.first_step import raised_at
from trainkit.inspection.loop import figures, judging, remembering
from trainkit.inspection.loop.copies import copies_with
from trainkit.inspection.source import Code, Line, called, code_of, unparse, walk
from trainkit.inspection.subject import Subject, found
from trainkit.inspection.untouched import copied_data

MODED = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)


def evaluates(subject: Subject) -> Iterator[Finding]:
    """Evaluate a copy in train mode, as the loop would, and see what was seen and what is left."""
    if subject.evaluate is None or subject.val_set is None:
        return
    code = code_of(subject.evaluate)
    place = getattr(subject.evaluate, "__name__", "evaluate")
    at = code.line(code.node) if code is not None else None
    modes: list[tuple[bool, bool]] = []
    sampling: list[nn.Module] = []
    with copies_with(subject, subject.evaluate) as copies:
        model, evaluate = copies.model, copies.functions[0]
        model.train()
        own = [module.training for module in model.modules()]
        before = {name: value.detach().clone() for name, value in model.state_dict().items()}
        layers: list[nn.Module] = [module for module in model.modules() if isinstance(module, MODED)]
        layers = layers or [model]

        def called(layer: nn.Module, _: Any) -> None:
            if layer.training and not model.training and isinstance(layer, nn.modules.dropout._DropoutNd):
                sampling.append(layer)  # turned on by hand in a model that is in eval(): Monte-Carlo dropout
            else:
                modes.append((layer.training, torch.is_grad_enabled()))

        handles = [layer.register_forward_pre_hook(called) for layer in layers]
        try:
            value = evaluate(model, copied_data(subject.val_set))
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything; the finding tells it
            yield _failure(place, error, at)
            return
        for handle in handles:
            handle.remove()
        after = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        left = [path for (path, module), was in zip(model.named_modules(), own, strict=True) if module.training != was]
        again = evaluate(model, copied_data(subject.val_set))
        changed = [name for name, tensor in before.items() if not torch.equal(tensor, after[name])]
    yield from _mode(subject, place, at, modes, layers != [model])
    yield from _traces(subject, place, at, changed, left)
    if not sampling and not any(training for training, _ in modes):
        yield from _values(place, at, value, again)


def _failure(place: str, error: Exception, at: Line | None) -> Finding:
    return found(
        "evaluation-fails",
        place,
        f"raises {type(error).__name__}: {' '.join(str(error).split())[:300]}",
        at=raised_at(error) or at,
        effect="training ends at the first validation",
    )


def _mode(
    subject: Subject, place: str, at: Line | None, modes: list[tuple[bool, bool]], moded: bool
) -> Iterator[Finding]:
    if moded and modes and any(training for training, _ in modes):
        kinds = sorted({type(m).__name__ for m in subject.model.modules() if isinstance(m, MODED)})
        yield found(
            "evaluates-in-train",
            f"{place}: eval",
            f"runs the model without model.eval(): {' and '.join(kinds)} work as in training mode",
            at=at,
            evidence=f"{sum(training for training, _ in modes)} of {len(modes)} calls of these layers in train()",
            effect="the figures are noisy and wrong, and batch norm learns from the validation set",
            fix="model.eval() before, model.train() after",
        )
    if modes and all(graded for _, graded in modes):
        yield found(
            "evaluates-with-graph",
            f"{place}: no_grad",
            "builds a graph for gradients that nobody asks for: no torch.no_grad()",
            severity="info",
            at=at,
            effect="memory and time",
            fix="@torch.inference_mode()",
        )


def _traces(subject: Subject, place: str, at: Line | None, changed: list[str], left: list[str]) -> Iterator[Finding]:
    weights = [name for name in changed if name in dict(subject.model.named_parameters())]
    if weights:
        yield found(
            "evaluation-changes-model",
            place,
            f"changes {weights[0]}: evaluation trains",
            at=at,
            evidence=f"{len(weights)} parameters differ afterwards",
            effect="the model has seen the validation set",
            fix="No step and no in-place change in evaluation",
        )
    if left:
        yield found(
            "mode-left-behind",
            f"{place}: train",
            "leaves the model in eval(): the next epoch trains without dropout and batch statistics",
            severity="info",  # the loop around may call train() itself
            at=at,
            evidence=f"{len(left)} modules are in another mode afterwards",
            effect="from the first evaluation on, training is another one",
            fix="model.train() at the end, or at the beginning of each training epoch",
        )


def validates_within(subject: Subject) -> Iterator[Finding]:
    """Find a validation that a step of the user's calls now and then, and that leaves the model in eval()."""
    step = code_of(subject.train_step)
    if step is None or not any(isinstance(module, MODED) for module in subject.model.modules()):
        return
    model = next(iter(_names(step)), "")
    helpers = [(call, code_of(_meant(subject.train_step, called(call)))) for call in step.calls()]
    calls = [(call, code) for call, code in helpers if code is not None and model in map(unparse, call.args)]
    if not model or _restores(step) or any(_restores(code) for _, code in calls):
        return
    for call, code in calls:
        names, number = _names(code), list(map(unparse, call.args)).index(model)
        own = names[number] if number < len(names) else ""
        switch = next((inner for inner in code.calls("eval") if called(inner) == f"{own}.eval"), None)
        if switch is None or any(own in map(called, getattr(node, "targets", ())) for node in walk(code.node)):
            continue
        yield found(
            "trains-in-eval",
            f"{code.name}: eval",
            f"leaves the model in eval(), and {step.name}, which calls it, never goes back to train(): from the "
            "first validation on training is another one",
            at=code.line(switch),
            evidence=f"called in line {call.lineno}, with no train() after it",
            effect="training without dropout, and batch norm's statistics stop moving",
            fix="model.train() at the end of the validation, or at the beginning of each step",
        )
        return


def _names(code: Code) -> list[str]:
    """Return the names of a function's arguments without ``self``; none of anything else."""
    given = code.node.args.args if isinstance(code.node, ast.FunctionDef) else []
    return [item.arg for item in given if item.arg != "self"]


def _restores(code: Code) -> bool:
    """Say whether a function sets some module's mode, other than by eval()."""
    sets = (target for node in walk(code.node) for target in getattr(node, "targets", ()))
    return any(True for _ in code.calls("train")) or any(called(target).endswith(".training") for target in sets)


def _meant(function: Any, dotted: str) -> Any:
    """Return the function that a name stands for in another one, or in its object's class."""
    base, _, last = dotted.rpartition(".")
    if base == "self":
        return getattr(type(getattr(function, "__self__", None)), last, None)
    return getattr(inspect.unwrap(function), "__globals__", {}).get(dotted) if not base else None


def _values(place: str, at: Line | None, value: Any, again: Any) -> Iterator[Finding]:
    one, two = _number(value), _number(again)
    if one is None or two is None or abs(one - two) <= 1e-4 * max(abs(one), abs(two), 1e-8):
        return
    yield found(
        "evaluation-varies",
        place,
        "gives two figures for one model",
        severity="warning",
        at=at,
        evidence=f"{one:.4g} and {two:.4g}",
        effect="the best checkpoint is chosen by chance",
        fix="model.eval(), and no shuffling or sampling that the figure depends on",
    )


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


RULES = (evaluates, validates_within, *figures.RULES, *judging.RULES, *remembering.RULES)
