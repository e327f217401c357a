"""Where the way from the loss back to a weight is cut, so that the weight gets no gradient, or no other than zero."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import nn

from trainkit.findings import Finding
from trainkit.inspection.loop.watching import watched
from trainkit.inspection.reading.chance import inside
from trainkit.inspection.reading.parts import forward_parts
from trainkit.inspection.recording import Op
from trainkit.inspection.source import Line, called, tree, walk
from trainkit.inspection.step.starved import starved
from trainkit.inspection.step.view import View, seen
from trainkit.inspection.subject import Subject, found

STEPS = ("round", "floor", "ceil", "sign", "trunc", "fix", "heaviside", "sgn", "frac", "floor_divide")
"""Operations with a gradient of zero."""
LEFT = ("item", "tolist", "numpy", "__float__", "__int__", "__array__")
SILENT = (
    "shape",
    "size",
    "dtype",
    "device",
    "is_leaf",
    "eq",
    "ne",
    "isnan",
    "isfinite",
    "is_all_true",
    "__bool__",
    "grad",
)
HELD = re.compile(
    r"teacher|target|ema|momentum|frozen|freeze|pretrained|pre-trained|fixed|reference|_ref\b|critic|probe"
)
MEANT = re.compile(r"frozen|freeze|pre-?trained|\bteacher\s*[.(]|#.*teacher|stop.?grad|target network")
"""Words near a cut that tell that it is meant; ``teacher`` alone may be the input of teacher forcing."""
SHOWN = {"data": ".data", "detach": ".detach()", "item": ".item()", "numpy": "numpy()", "tensor": "torch.tensor(...)"}


@dataclass(frozen=True, slots=True)
class Cut:
    """An operation behind which nothing gets a gradient."""

    op: Op
    what: str
    at: Line
    lost: tuple[str, ...]
    """Weights that get no gradient for it."""


def gradient_cut(subject: Subject) -> Iterator[Finding]:
    """Find operations that cut trainable weights off from the loss."""
    view = seen(subject)
    if view is None or not view.losses or (subject.train_step is None and not subject.runs):
        return
    names = _starved(view) if subject.train_step is None else starved(subject)
    if not names:
        return
    told: set[str] = set()
    cuts = _joined(_cuts(view, names))
    for cut in cuts if subject.train_step is None else _before_step(view, cuts):
        if set(cut.lost) <= told or _is_meant(view, cut) or all(_cancels(view, name) for name in cut.lost):
            continue
        told |= set(cut.lost)
        every = len(names) == sum(p.requires_grad for p in subject.model.parameters())
        yield _finding(view, cut, every)


def _cancels(view: View, name: str) -> bool:
    """Say whether a parameter is a bias whose layer has a gradient: it cancels, as in a difference of two energies."""
    layer, _, last = name.rpartition(".")
    names = [key for key in view.gradients if key.startswith(f"{layer}.weight" if layer else "weight")]
    names += [key for key in view.gradients if key.startswith(f"{layer}.parametrizations.weight.".lstrip("."))]
    gradients = [view.gradients[key] for key in names]
    return last == "bias" and any(gradient is not None and bool(gradient.any()) for gradient in gradients)


def _joined(cuts: Iterator[Cut]) -> list[Cut]:
    """Return the cuts with all of one ``no_grad`` as one."""
    joined: list[Cut] = []
    for cut in cuts:
        same = next(
            (n for n, one in enumerate(joined) if cut.what == one.what == "no_grad" and _beside(cut, one)), None
        )
        if same is None:
            joined.append(cut)
        else:
            joined[same] = replace(joined[same], lost=tuple(sorted({*joined[same].lost, *cut.lost})))
    return joined


def _beside(one: Cut, other: Cut) -> bool:
    """Say whether two stand in one call of one function."""
    return one.at == other.at or (one.at.file == other.at.file and one.op.function == other.op.function != "forward")


def _before_step(view: View, cuts: list[Cut]) -> list[Cut]:
    """Return the cuts of a user's own step, those first that stand before the backward which a weight's step uses."""
    subject = view.subject
    owner = {id(p): n for n, o in enumerate(subject.optimizers) for group in o.param_groups for p in group["params"]}
    weights = dict(subject.model.named_parameters())
    ends = [op.number for op in view.recording.ops if op.name == "backward"]
    first = watched(subject).steps[0]

    def later(cut: Cut) -> int:
        optimizer = owner.get(id(weights[cut.lost[0]]))
        at = next((n for n, event in enumerate(first) if event.kind == "step" and event.which == optimizer), len(first))
        passes = sum(event.kind == "backward" for event in first[:at])
        return abs(sum(end < cut.op.number for end in ends) + 1 - passes)

    return sorted(cuts, key=later)


def _starved(view: View) -> frozenset[str]:
    """Return trainable weights that got no gradient, or exact zeros while the loss did pass one down."""
    names = set()
    for name, parameter in view.model.named_parameters():
        gradient = view.gradients.get(name)
        if parameter.requires_grad and (gradient is None or not bool(gradient.any())):
            names.add(name)
    return frozenset(names)


def _cuts(view: View, names: frozenset[str]) -> Iterator[Cut]:
    blocked = _no_grad_lines(view)
    ends = _leads_on(view)
    for op in view.recording.ops:
        what = _what(op)
        if what is None or op.line is None:
            continue
        lost = tuple(sorted(_sources(view, op) & names))
        if not lost or not ends(op):
            continue
        at = op.line
        if what == "no_grad":
            at = blocked(op.line) or op.line
        yield Cut(op, what, at, lost)


def _what(op: Op) -> str | None:
    """Return the kind of cut that an operation is; None if it is none."""
    if op.in_place and op.inputs and op.inputs[0].name:
        return None  # a weight that is written to
    if op.name in LEFT:
        return op.name
    compared = op.name in ("eq", "ne") and sum(fact.requires_grad for fact in op.inputs) > 1
    if (op.name in SILENT and not compared) or not op.inputs or not op.outputs:
        return None
    if op.name in STEPS and any(fact.requires_grad for fact in op.inputs):
        return op.name
    if any(fact.requires_grad for fact in op.outputs) or not any(fact.requires_grad for fact in op.inputs):
        return None
    return op.name if op.grad_enabled else "no_grad"


def _sources(view: View, op: Op) -> set[str]:
    """Return the weights that an operation's inputs came from."""
    names = {fact.name for fact in op.inputs if fact.name and fact.requires_grad}
    for fact in op.inputs:
        for maker in view.recording.ancestors(fact):
            names |= {item.name for item in maker.inputs if item.name and item.requires_grad}
    return names


def _leads_on(view: View) -> Callable[[Op], bool]:
    """Return a test of whether what an operation gave leads to the loss, as far as can be told."""
    recording, reached = view.recording, view.on_path
    given = {fact.number for fact in (*view.inputs, *view.targets)}
    read = [fact for op in recording.ops if op.number in reached for fact in op.inputs]
    orphans = [fact for fact in read if fact.maker is None and not fact.name and fact.number not in given]
    alike = {(fact.shape, fact.low, fact.high) for fact in orphans}
    fresh = [op for op in recording.of("tensor", "as_tensor", "full") if not op.inputs and op.number in reached]

    def leads(op: Op) -> bool:
        if op.name in LEFT:
            later = any(made.number > op.number for made in fresh)
            return later or bool(orphans) or view.losses[0].maker is None or _scaled(op, reached, view)
        if op.number in reached or any((fact.shape, fact.low, fact.high) in alike for fact in op.outputs):
            return True
        return any(user.number in reached for made in op.outputs for user in recording.users(made))

    return leads


def _scaled(op: Op, reached: frozenset[int], view: View) -> bool:
    """Say whether a number taken from a tensor is an argument of an operation that leads to the loss."""
    if not isinstance(op.result, float):
        return False
    later = (item for item in view.recording.ops[op.number :] if item.number in reached)
    return any(isinstance(value, float) and value == op.result for item in later for value in item.args)


def _no_grad_lines(view: View) -> Callable[[Line], Line | None]:
    """Return what gives the line that switched autograd off for a line."""

    def line_of(line: Line) -> Line | None:
        best: ast.AST | None = None
        whole = tree(line.file)
        for node in walk(whole) if whole is not None else ():
            inside = getattr(node, "lineno", 0) <= line.line <= (getattr(node, "end_lineno", 0) or 0)
            if isinstance(node, ast.With) and inside and any(_is_off(item.context_expr) for item in node.items):
                best = node
            if isinstance(node, ast.FunctionDef) and inside:
                best = next((item for item in node.decorator_list if _is_off(item)), best)
        return Line(line.file, getattr(best, "lineno", line.line)) if best is not None else _callers(view, line)

    return line_of


def _callers(view: View, line: Line) -> Line | None:
    """Return the line of the outer module's code that runs a line's module with autograd off."""
    for call in view.recording.calls:
        if call.line is None or call.line == line:
            continue
        whole = tree(call.line.file)
        for node in walk(whole) if whole is not None else ():
            inside = getattr(node, "lineno", 0) <= call.line.line <= (getattr(node, "end_lineno", 0) or 0)
            if isinstance(node, ast.With) and inside and any(_is_off(item.context_expr) for item in node.items):
                return Line(call.line.file, node.lineno)
            if isinstance(node, ast.FunctionDef) and inside:
                for item in node.decorator_list:
                    if _is_off(item):
                        return Line(call.line.file, item.lineno)
    return None


def _is_off(node: ast.AST) -> bool:
    return called(node).rpartition(".")[2] in ("no_grad", "inference_mode", "set_grad_enabled")


def _is_meant(view: View, cut: Cut) -> bool:
    """Say whether what is cut off is held on purpose: not optimized, a target, named as frozen, in eval()."""
    subject, model = view.subject, view.model
    parameters = dict(model.named_parameters())
    lost = [parameters[name] for name in cut.lost]
    optimized = {id(p) for optimizer in subject.optimizers for group in optimizer.param_groups for p in group["params"]}
    if subject.optimizers and not any(id(parameter) in optimized for parameter in lost):
        return True
    if len(cut.lost) == len([p for p in model.parameters() if p.requires_grad]):
        return False
    if all(HELD.search(name.lower()) for name in cut.lost):
        return True
    around = (
        " ".join(Line(cut.at.file, number).text for number in range(cut.at.line - 2, cut.op.line.line + 2))
        if cut.op.line
        else ""
    )
    if MEANT.search(around.lower()):
        return True
    roots = {name.split(".")[0] for name in cut.lost}
    held = [getattr(model, root, None) for root in roots]
    with subject.scratch() as scratch:
        scratch.model.train()
        kept = [getattr(scratch.model, root, None) for root in roots]
        if kept and all(isinstance(part, nn.Module) and not part.training for part in kept):
            return True
    return bool(held) and all(isinstance(part, nn.Module) and _has_twin(view, part) for part in held)


def _has_twin(view: View, part: nn.Module) -> bool:
    """Say whether another part has the same shapes and gets gradients: the online network of a target."""
    shapes = [tuple(p.shape) for p in part.parameters()]
    if not shapes:
        return False
    names = {id(p): name for name, p in view.model.named_parameters()}
    own = {id(p) for p in part.parameters()}
    for other in view.model.modules():
        theirs = list(other.parameters())
        if other is part or [tuple(p.shape) for p in theirs] != shapes or own & {id(p) for p in theirs}:
            continue
        trained = any(view.gradients.get(names.get(id(p), "")) is not None for p in theirs)
        if trained and all(torch.equal(a, b) for a, b in zip(part.parameters(), theirs, strict=True)):
            return True
    return False


def _finding(view: View, cut: Cut, every: bool) -> Finding:
    op = cut.op
    shown = SHOWN.get(cut.what, cut.what)
    where = type(view.model).__name__ if not op.module else type(view.model.get_submodule(op.module)).__name__
    place = view.place(op, shown)[0] if op.module is None else f"{where}.{op.function}: {shown}"
    part = next((part for part in forward_parts(view.subject) if inside(part, cut.at)), None) if not op.own else None
    place = f"{part.place}: {shown}" if part is not None else place
    some = ", ".join(cut.lost[:4]) + (f" and {len(cut.lost) - 4} more" if len(cut.lost) > 4 else "")
    how = {
        "no_grad": "runs under torch.no_grad(), which cuts the gradient off",
        "detach": "detaches a tensor on the way to the loss, which cuts the gradient off",
        "data": "takes .data on the way to the loss, which cuts the gradient off",
        "tensor": "makes a new tensor of a tensor with torch.tensor(...), which detaches and cuts the gradient off",
    }.get(cut.what, f"goes through {shown} on the way to the loss, which has no gradient (is not differentiable)")
    return found(
        "gradient-cut",
        place,
        f"{how} of {some}",
        at=cut.at,
        evidence=f"{'all' if every else len(cut.lost)} trainable weights have no gradient after backward",
        effect="nothing is trained" if every else "these weights stay as they were initialised",
        fix=_fix(cut),
    )


def _fix(cut: Cut) -> str:
    if cut.what == "no_grad":
        return "Leave out torch.no_grad() here, or say what is meant with requires_grad_(False)"
    if cut.what in STEPS:
        return "Pass the gradient straight through: x + (x.round() - x).detach()"
    if cut.what in ("argmax", "gt", "lt", "ge", "le", "eq", "ne", "long", "int", "bool", "topk"):
        return "Use a smooth function here, such as softmax, or F.gumbel_softmax(hard=True)"
    if cut.what in LEFT:
        return "Stay with tensors up to the loss, and use item() and numpy() for what is shown only"
    return f"Leave out {SHOWN.get(cut.what, cut.what)}"


# ---------------------------------------------------------------------------- teachers


def teacher_trains(subject: Subject) -> Iterator[Finding]:
    """Find a teacher or target network inside the model that gets gradients and is optimized."""
    if not subject.runs:
        return
    optimized = {id(p) for optimizer in subject.optimizers for group in optimizer.param_groups for p in group["params"]}
    for path, module in subject.model.named_modules():
        name = path.rpartition(".")[2].lower()
        if not re.fullmatch(
            r"_?(teacher|ema|target_net|target_network|target|ema_model|teacher_net|teacher_model)", name
        ):
            continue
        weights = [
            (f"{path}.{key}", p) for key, p in module.named_parameters() if p.requires_grad and id(p) in optimized
        ]
        moved = [key for key, _ in weights if _moved(subject, key)]
        if moved:
            yield found(
                "teacher-trains",
                path,
                "is a teacher by its name, and gets gradients from the student's loss",
                at=_use(subject, path) or subject.where_built(path),
                evidence=f"{len(moved)} of its weights have a gradient and are in the optimizer",
                effect="the teacher learns to agree with the student, which teaches nothing",
                fix=f"Write self.{path}.requires_grad_(False) and call it under torch.no_grad()",
            )


def _moved(subject: Subject, name: str) -> bool:
    gradient = subject.trace.gradients.get(name)
    return gradient is not None and bool(gradient.any())


def _use(subject: Subject, path: str) -> Line | None:
    return next((call.line for call in subject.trace.recording.calls if call.path == path), None)


RULES = (gradient_cut, teacher_trains)
