"""What is to follow the model by hand: averages of its weights, target networks and teachers, kept weights."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from trainkit.findings import Finding
from trainkit.inspection.loop.copies import Copies, held_by
from trainkit.inspection.passes import evaluated
from trainkit.inspection.source import Code, Line, called, code_of, file_of, tree, unparse, walk
from trainkit.inspection.subject import Subject, found

if TYPE_CHECKING:
    from trainkit.inspection.loop.train_step import Step

FEWEST = 3
FOLLOWER = re.compile(
    r"(^|[._])(ema|avg|average|averaged|shadow|swa|target|teacher|momentum|slow|polyak|mean|old|anchor|frozen|ref)"
    r"(_|s?$|[.\d])"
)
"""Names of what follows the model."""


def following(copies: Copies) -> Iterator[tuple[str, Tensor]]:
    """Yield tensors beside those that are trained and that are named or shaped as they are."""
    shapes = {name: tuple(p.shape) for name, p in copies.model.named_parameters()}
    own = {id(p) for optimizer in copies.optimizers for group in optimizer.param_groups for p in group["params"]}
    networks = copies.networks | dict(copies.model.named_children())
    for name, network in networks.items():
        theirs = dict(network.named_parameters())
        if theirs and not any(id(p) in own for p in theirs.values()) and _is_like(theirs, shapes):
            yield from ((name, p) for p in theirs.values())
    things = [*copies.held.items(), *((n, v) for owner in copies.owners for n, v in _inner(owner))]
    things += list(vars(copies.model).items())
    for name, thing in things:
        for path, kept in ((name, thing), *((f"{name}.{key}", value) for key, value in _inner(thing))):
            yield from ((path, tensor) for tensor in kept_tensors(kept, shapes) if id(tensor) not in own)


def _inner(thing: Any) -> list[tuple[str, Any]]:
    return list(vars(thing).items()) if file_of(type(thing)) is not None and hasattr(thing, "__dict__") else []


def _is_like(theirs: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Say whether weights are named and shaped as the model's, or as those of a part of it."""
    for prefix in {"", *(f"{name.split('.')[0]}." for name in shapes if "." in name)}:
        if all(shapes.get(f"{prefix}{key}") == tuple(p.shape) for key, p in theirs.items()):
            return True
    return False


def kept_tensors(thing: Any, shapes: Mapping[str, tuple[int, ...]]) -> list[Tensor]:
    """Return the tensors of a dictionary or list that holds one for most of the model's weights."""
    if isinstance(thing, Mapping):
        known = {key: value for key, value in thing.items() if isinstance(value, Tensor) and key in shapes}
        fits = all(tuple(value.shape) == shapes[key] for key, value in known.items())
        return list(known.values()) if fits and len(known) > len(shapes) / 2 else []
    if isinstance(thing, list | tuple) and len(thing) == len(shapes) > 1:
        tensors = [value for value in thing if isinstance(value, Tensor)]
        return tensors if [tuple(t.shape) for t in tensors] == list(shapes.values()) else []
    return []


def kept_share(
    name: str, key: str, now: Tensor, before: Tensor, sources: tuple[Tensor, Tensor]
) -> tuple[str, str, float] | None:
    """Return which share of itself a tensor kept in a step, if it moved towards its source (after or before it)."""
    moved = (now.detach() - before).double().flatten()
    for source in sources:
        way = (source.detach() - before).double().flatten()
        length = float(way.square().sum())
        if length == 0 or float(moved.abs().max()) == 0:
            continue
        share = float((way * moved).sum() / length)
        if float((moved - share * way).norm() / moved.norm()) < 1e-2:
            return name, key, 1 - share
    return None


def aliases(subject: Subject) -> Iterator[Finding]:
    """Find weights kept beside the model, or a network that is to follow it, that are the model's own memory."""
    model = subject.given if subject.given is not None else subject.model
    function = subject.train_step
    if function is None:
        return
    owner = getattr(function, "__self__", None)
    things = [*held_by(function), *([] if owner is None else _inner(owner))]
    things += [(f"{name}.{key}", value) for name, thing in things for key, value in _inner(thing)]
    things += [] if isinstance(owner, nn.Module) else list(vars(model).items())
    own = {p.data_ptr() for p in model.parameters()}
    parameters = {id(p) for p in model.parameters()}
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    for name, thing in things:
        kept = [tensor for tensor in kept_tensors(thing, shapes) if id(tensor) not in parameters]
        short = name.rpartition(".")[2]
        is_model = isinstance(thing, nn.Module) and any(thing is part for part in model.modules())
        if kept and all(tensor.data_ptr() in own for tensor in kept):
            yield _alias(subject, name, "keeps the weights without clone(): p.data and detach() share their memory")
            return
        if is_model and not isinstance(owner, nn.Module) and FOLLOWER.search(short.lower()):
            yield _alias(subject, name, "is the very model that trains, not a copy of it")
            return


def _alias(subject: Subject, name: str, message: str) -> Finding:
    short = name.rpartition(".")[2]
    return found(
        "follower-is-alias",
        name,
        f"{message}: it is an alias of the same tensors, and moves with them",
        at=_assigned(subject, short),
        evidence=f"{short} and the model are at the same place in memory",
        effect="the average (EMA), the teacher or the weights kept for later are always the newest weights",
        fix=f"{short} = copy.deepcopy(model), or p.detach().clone() for each weight",
    )


def _assigned(subject: Subject, name: str) -> Line | None:
    """Return the line that puts something of the model under a name, or into a dictionary of that name."""
    for file in subject.files:
        whole = tree(file)
        lines = []
        for node in walk(whole) if whole is not None else ():
            target = node.targets[0] if isinstance(node, ast.Assign) else None
            into = isinstance(target, ast.Subscript)
            target = target.value if isinstance(target, ast.Subscript) else target
            if target is not None and name in (getattr(target, "attr", ""), getattr(target, "id", "")):
                empty = isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict | ast.List | ast.Constant)
                lines.append((0 if into else 2 if empty else 1, getattr(node, "lineno", 1)))
        if lines:
            return Line(file, min(lines)[1])
    return None


def functions(step: Step) -> Iterator[Code]:
    """Yield the user's step, and the functions and methods in its file that it calls, and those that they call."""
    whole = tree(step.code.file) if step.code is not None else None
    if step.code is None or whole is None:
        return
    known = {node.name: node for node in walk(whole) if isinstance(node, ast.FunctionDef)}
    waiting, seen = [step.code.node], set[int]()
    while waiting:
        node = waiting.pop(0)
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield Code(step.code.file, getattr(node, "name", step.code.name), node)
        names = [called(call).rpartition(".")[2] for call in walk(node) if isinstance(call, ast.Call)]
        waiting += [known[name] for name in names if name in known]


def rebound(step: Step) -> Iterator[Finding]:
    """Find a loop over weights that gives the new value to its variable, and not to the weight."""
    for code in functions(step):
        for loop in walk(code.node):
            if not isinstance(loop, ast.For) or "parameters" not in unparse(loop.iter):
                continue
            names = {node.id for node in walk(loop.target) if isinstance(node, ast.Name)}
            for number, line in enumerate(loop.body):
                target = line.targets[0] if isinstance(line, ast.Assign) else None
                if not isinstance(target, ast.Name) or target.id not in names or not isinstance(line, ast.Assign):
                    continue
                later = [n.id for rest in loop.body[number + 1 :] for n in walk(rest) if isinstance(n, ast.Name)]
                computes = any(isinstance(node, ast.BinOp) for node in walk(line.value))
                if target.id in later or not computes or target.id not in _names(line.value):
                    continue
                yield found(
                    "update-rebinds",
                    f"{code.name}: {target.id}",
                    f"`{unparse(line)}` gives the loop variable another tensor: it is not in place, and the weight "
                    "(or its moving average, EMA) never changes",
                    at=code.line(line),
                    evidence=f"{target.id} is one of those of {unparse(loop.iter)}, and is not read again",
                    effect="the update is thrown away",
                    fix=f"Write into it under torch.no_grad(): {target.id}.copy_(...), mul_() and add_()",
                )
                return


def _names(node: ast.AST) -> set[str]:
    return {item.id for item in walk(node) if isinstance(item, ast.Name)}


def still(step: Step) -> Iterator[Finding]:
    """Tell of what is written at every step, and is what it was before."""
    moves, notes = step.seen.moves, step.seen.beside
    if moves is None or notes is None or not any(step.seen.moved):
        return
    counts: dict[str, int] = {}
    for write in moves.writes:
        counts[write.name] = counts.get(write.name, 0) + 1
    for name in counts:
        before, now = moves.kept.get(name), [t.detach() for other, t in following(notes.copies) if other == name]
        if before is None or len(before) != len(now) or counts[name] < len(now) * (len(step.seen.steps) - 1):
            continue
        write = next(write for write in moves.writes if write.name == name)
        unread = _unread(step, write.line)
        near = 1e-6 if unread else 0.0  # the sum of two parts of one number is rounded
        if not all(torch.allclose(a, b, rtol=near, atol=near) for a, b in zip(before, now, strict=True)):
            continue
        what = f"the loop never reads {unread}" if unread else "its decay is 1, or what it follows is itself"
        yield found(
            "average-never-moves",
            f"{step.place}: {name}",
            f"is written at every step and stays what it was: the moving average (EMA, target) never moves; {what}",
            severity="error" if unread else "warning",
            at=write.line,
            evidence=f"{len(now)} tensors, {len(step.seen.steps)} steps, no change",
            effect="what is evaluated, or serves as the target, is the network of initialisation",
            fix="average.mul_(decay).add_(weight, alpha=1 - decay), with a decay below 1",
        )
        return


def _unread(step: Step, line: Line | None) -> str:
    """Return the variable of the loop around a line over two sets of weights that the loop never reads."""
    for code in functions(step):
        for loop in walk(code.node):
            if not isinstance(loop, ast.For) or line is None:
                continue
            if not loop.lineno < line.line <= (loop.end_lineno or 0):
                continue
            names = [node.id for node in walk(loop.target) if isinstance(node, ast.Name)]
            read = {n.id for item in loop.body for n in walk(item) if isinstance(n, ast.Name)}
            unread = [name for name in names if name not in read and not name.startswith("_")]
            if len(names) > 1 and unread:
                return unread[0]
    return ""


def early(step: Step) -> Iterator[Finding]:
    """Tell of an average that is moved between backward and step, as an aside."""
    moves = step.seen.moves
    if moves is None or len(step.seen.steps) < 3 or len({event.which for event in step.seen.events("step")}) != 1:
        return
    writes = [write for write in moves.writes if FOLLOWER.search(write.name.lower())]
    if not writes or any(write.after != "backward" for write in writes):
        return
    if not all(move.optimized is not None for move in moves.steps):
        return
    yield found(
        "average-before-step",
        f"{step.place}: {writes[0].name}",
        "is updated before optimizer.step(): the moving average (EMA) takes the weights of the step before",
        severity="info",
        at=_caller(step, writes[0].line) or writes[0].line,
        evidence="order: backward, average, step",
        effect="the average is one step behind",
        fix="optimizer.step(), then the average",
    )


def _caller(step: Step, line: Line | None) -> Line | None:
    """Return the line of the step that calls the function in which a line stands."""
    for code in functions(step):
        node = code.node
        inside = line is not None and getattr(node, "lineno", 0) <= line.line <= (getattr(node, "end_lineno", 0) or 0)
        if inside and step.code is not None and node is not step.code.node:
            return step.call(getattr(node, "name", ""))
    return None


def every_step(step: Step) -> Iterator[Finding]:
    """Tell of a target network that is the online one again after every step."""
    notes, kept = step.seen.beside, step.seen.averages
    for name in dict.fromkeys(name for name, _, _ in kept):
        shares = [share for other, _, share in kept if other == name]
        if notes is None or name not in notes.called or len(shares) < FEWEST:
            continue
        if not FOLLOWER.search(name.lower()) or max(abs(share) for share in shares) > 1e-5:
            continue
        writes = step.seen.moves.writes if step.seen.moves is not None else []
        yield found(
            "target-every-step",
            f"{step.place}: {name}",
            f"copies the weights into {name} (the target network) at every step: it is the online network, and no "
            "target that holds still",
            severity="warning",
            at=step.call("load_state_dict", "copy_") or next((w.line for w in writes if w.name == name), step.at),
            evidence=f"{name} keeps nothing of itself in {len(shares)} steps",
            effect="predictions chase themselves: values may run away",
            fix="Copy it every few hundred steps, or target.lerp_(weight, 0.005)",
        )
        return


def held_too_long(step: Step) -> Iterator[Finding]:
    """Tell of an average that is evaluated, and is nearly what it was at the start when the run ends."""
    from trainkit.inspection.step.trial import steps_ahead

    subject = step.subject
    if subject.epochs is None or not step.seen.averages:
        return
    code = code_of(subject.evaluate) if subject.evaluate is not None else None
    read = words_of(code.node) if code is not None else _evaluated_parts(subject)
    for name, key, kept in step.seen.averages:
        share = kept ** steps_ahead(subject)
        if not 0.9 < share <= 1 or kept < 0.2 or name.rpartition(".")[2] not in read:
            continue
        yield found(
            "average-never-moves",
            f"{step.place}: {name}",
            f"keeps {kept:.7g} of itself in a step (decay), far too much for this run: the moving average (EMA) that "
            "is evaluated hardly moves",
            severity="warning",
            at=next((write.line for write in (step.seen.moves.writes if step.seen.moves else ())), None) or step.at,
            evidence=f"after {steps_ahead(subject)} steps {share:.0%} of {name}.{key} are the first weights",
            effect="what is evaluated is nearly the network of initialisation",
            fix="Take a decay near 1 - 10 / steps, or let it grow: min(decay, (1 + step) / (10 + step))",
        )
        return


def _evaluated_parts(subject: Subject) -> set[str]:
    """Return the parts of the model whose weights a forward pass in ``eval()`` reads."""
    recording, _, error = evaluated(subject, subject.batch)
    named = [fact.name for op in recording.ops for fact in op.inputs if fact.name] if error is None else []
    return {name.split(".")[0] for name in named}


def words_of(node: ast.AST) -> set[str]:
    """Return the names that a tree reads or writes, and those of attributes."""
    names = {item.id for item in walk(node) if isinstance(item, ast.Name)}
    return names | {item.attr for item in walk(node) if isinstance(item, ast.Attribute)}


RULES = (rebound, still, early, every_step, held_too_long)
