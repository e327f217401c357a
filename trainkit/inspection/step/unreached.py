"""Layers that run in a step and that its loss does not reach: their result is dropped on the way."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from torch import nn

from trainkit.findings import Finding
from trainkit.inspection.recording import Call, Fact, Op
from trainkit.inspection.source import Line, tree, walk
from trainkit.inspection.step.starved import starved
from trainkit.inspection.step.view import View, seen
from trainkit.inspection.subject import Subject, found

STEPPED = frozenset(["round", "floor", "ceil", "sign", "trunc", "fix", "heaviside", "sgn", "frac", "floor_divide"])
"""Operations with a gradient of zero, of which another rule tells."""
CHOOSING = frozenset(["minimum", "maximum", "min", "max", "fmin", "fmax", "amin", "amax", "where"])
"""Operations that pass on the better of several, which in one batch may always be the same one."""
ENOUGH = 3
"""Findings of one subject."""


def unreached(subject: Subject) -> Iterator[Finding]:
    """Find layers that compute something which never gets to the loss."""
    view = seen(subject)
    names = starved(subject) if view is not None else frozenset()
    if view is None or not names:
        return
    told: set[tuple[str | None, int | None]] = set()
    for owner, weights in _by_owner(view, names).items():
        own = dict(view.model.get_submodule(owner).named_parameters(prefix=owner, recurse=False))
        if len(weights) < len(own) and all(own[name].dim() < 2 for name in weights if name in own):
            continue  # a bias that cancels, as in a difference of two embeddings
        ways = [_way(view, op) for op in view.recording.ops if any(fact.name in weights for fact in op.inputs)]
        way = [op for way in ways if way is not None for op in way]
        if not ways or any(way is None for way in ways) or any(_is_stored(op) for op in way if not _is_read(view, op)):
            continue
        finding = _finding(view, owner, sorted(weights), way)
        if finding is not None and finding.file is None:
            continue  # within a library: pictures too small for one of its attentions, and nobody's slip
        if finding is not None and (finding.file, finding.line) not in told and len(told) < ENOUGH:
            told.add((finding.file, finding.line))
            yield finding


def _by_owner(view: View, names: frozenset[str]) -> dict[str, set[str]]:
    """Return the names as they were recorded, by the path of the module that holds them."""
    first = {id(p): name for name, p in view.model.named_parameters()}
    owners: dict[str, set[str]] = {}
    for name, parameter in view.model.named_parameters(remove_duplicate=False):
        if first[id(parameter)] in names:
            owners.setdefault(name.rpartition(".")[0], set()).add(name)
    return owners


def _way(view: View, op: Op) -> list[Op] | None:
    """Return all operations that an operation leads to; None if that is by design or told by other rules.

    So are weights used without autograd, cut off on the way, or that only make another output of the model.
    """
    found_ops: dict[int, Op] = {}
    waiting = [op]
    while waiting:
        here = waiting.pop()
        if here.number in found_ops or here.name == "backward":
            continue
        found_ops[here.number] = here
        differentiable = any(fact.requires_grad for fact in here.outputs)
        if here.name in STEPPED | CHOOSING or not here.grad_enabled or (here.outputs and not differentiable):
            return None
        for fact in here.outputs:
            readers = view.readers.get(fact.number, [])
            if fact in view.outputs and not any(reader.module is None for reader in readers):
                return None
            waiting += readers
        if any(0 in fact.shape for fact in here.inputs):
            return None
    return [found_ops[number] for number in sorted(found_ops)]


def _finding(view: View, owner: str, weights: list[str], way: list[Op]) -> Finding | None:
    some = ", ".join(weights[:3]) + (f" and {len(weights) - 3} more" if len(weights) > 3 else "")
    call = _dead_call(view, owner)
    in_loss = [op for op in way if op.module is None and op.own and not _is_read(view, op) and op.outputs]
    if call is not None and in_loss:
        place, line = view.place(in_loss[-1])
        message = f"computes a term of {call.path or owner} that is not part of the loss"
    elif call is not None:
        place, line = _called(view, call)
        passed = _bypass(view, call)
        parent = place.partition(".")[0]
        message = f"is called in {parent}.forward, and its result is never used on the way to the loss"
        if passed is not None and passed.line is not None:
            message += f": line {passed.line.line} goes on with what was given to it"
            line = passed.line
    elif any(_is_fed(fact) for fact in way[0].outputs):
        place, line = _partly(view, way[0])
        message = f"takes a part of what {owner} gives, in which some of its weights have no share"
    elif (op := _loser(view, way)) is not None:
        place, line = view.place(op)
        message = f"is where the result of {owner or 'the model'} is lost: it does not get to the loss"
    else:
        return None
    return found(
        "result-never-used",
        place,
        f"{message}: {some} get no gradient",
        at=line,
        evidence=f"{len(weights)} trainable weights run in the step and get no gradient from its loss",
        effect="they stay as they were initialised, and the model is smaller than it is written",
        fix="Pass its result on (look for a variable that is overwritten, or another one that is used in its place), "
        "or remove the layer.",
    )


def _dead_call(view: View, owner: str) -> Call | None:
    """Return the outermost call around some weights whose outputs nothing on the way to the loss reads."""
    read = {fact.number for op in view.path for fact in op.inputs} | {fact.number for fact in view.losses}
    made = {fact.number for op in view.path for fact in op.outputs}
    for call in sorted(view.recording.calls, key=lambda call: call.path.count(".") if call.path else -1):
        around = owner == call.path or owner.startswith(f"{call.path}.") or not call.path
        if call.path and around and not any(fact.number in read & made for fact in call.outputs):
            return call
    return None


def _called(view: View, call: Call) -> tuple[str, Line | None]:
    parent_path, _, name = call.path.rpartition(".")
    parent: nn.Module = view.model.get_submodule(parent_path)
    while parent_path and type(parent).__module__.startswith("torch."):
        parent_path, _, name = parent_path.rpartition(".")
        parent = view.model.get_submodule(parent_path)
    return f"{type(parent).__name__}.{name}", call.line


def _bypass(view: View, call: Call) -> Op | None:
    """Return the one operation after a call that reads what the call was given, on the way to the loss."""
    given = {fact.number for fact in call.inputs}
    last = max((op.number for fact in call.outputs if (op := fact.maker) is not None), default=-1)
    after = [op for op in view.path if op.number > last and any(fact.number in given for fact in op.inputs)]
    lines = {(op.line.file, op.line.line) for op in after if op.line is not None}
    return after[0] if len(lines) == 1 and last >= 0 else None


def _partly(view: View, op: Op) -> tuple[str, Line | None]:
    """Return where a part of an operation's results is taken."""
    readers = (reader for fact in op.outputs for reader in view.readers.get(fact.number, []))
    part = next((reader for reader in readers if reader.name in ("getitem", "select") and reader.own), None)
    return view.place(part) if part is not None else (view.place(op)[0], op.line)


def _loser(view: View, way: list[Op]) -> Op | None:
    """Return the operation behind which no gradient comes back."""
    made = [fact for op in way for fact in op.outputs]
    for op in reversed(way):
        back = any(_is_fed(fact) for fact in op.inputs if fact in made)
        if any(_is_fed(fact) for fact in op.outputs) and not back:
            return op
    dropped = [op for op in way if not _is_read(view, op)]
    return dropped[-1] if dropped else None


def _is_read(view: View, op: Op) -> bool:
    return any(view.readers.get(fact.number) for fact in op.outputs)


def _is_stored(op: Op) -> bool:
    """Say whether what an operation gave is kept as an attribute, where another function may find it."""
    whole = tree(op.line.file) if op.line is not None else None
    assigns = [node for node in walk(whole) if isinstance(node, ast.Assign)] if whole is not None else []
    named = {
        item.id for node in assigns if op.line is not None and node.lineno == op.line.line for item in _names(node)
    }
    for node in assigns:
        kept = any(isinstance(target, ast.Attribute) for target in node.targets)
        here = op.line is not None and node.lineno == op.line.line
        if kept and (here or any(isinstance(n, ast.Name) and n.id in named for n in walk(node.value))):
            return True
    return False


def _names(node: ast.Assign) -> Iterator[ast.Name]:
    return (item for target in node.targets for item in walk(target) if isinstance(item, ast.Name))


def _is_fed(fact: Fact) -> bool:
    return bool(fact.grad_norm)


RULES = (unreached,)
