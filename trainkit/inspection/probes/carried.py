"""State that a model or a training step keeps of one batch, and goes on from with the sequences of the next."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import IterableDataset

from trainkit.findings import Finding
from trainkit.inspection.loop.copies import copies_with
from trainkit.inspection.passes import PROBED, in_eval
from trainkit.inspection.probes.sequences import is_next
from trainkit.inspection.recording import flat, recorded
from trainkit.inspection.source import Code, Line, called, code_of, own_classes, tree, walk
from trainkit.inspection.subject import Stuck, Subject, found, unpacked
from trainkit.inspection.untouched import seed_torch


def carried(subject: Subject) -> Iterator[Finding]:
    """Change one sample of a batch: the sample in its row of the next batch, another sequence, may not notice."""
    if subject.train_set is None or isinstance(subject.train_set, IterableDataset):
        return
    own_step = subject.train_step is not None
    if not own_step and not subject.runs:
        return
    keeper = _keeper(subject)
    if keeper is None:
        return
    batches = _batches(subject)
    if batches is None:
        return
    run = _by_step if own_step else _by_forward
    first, changed, second = batches
    outputs = [run(subject, [batch, second]) for batch in (first, changed)]
    rows = _rows_apart(*outputs)
    if rows != [0]:
        return
    place, name, line = keeper
    if not subject.shuffle:
        yield from _in_order(subject, place, name, line)
        return
    yield found(
        "state-carried",
        place,
        f"the hidden state {name} of a batch is carried into the next one, but the batches are shuffled: row i goes on "
        "from the state of another sequence (stateful, without a reset)",
        at=line,
        evidence="changing sample 0 of one batch moves the output of sample 0 of the next batch, and of no other",
        effect="what is predicted for a sequence hangs on the one that was in its row before (a leak, from training "
        "into validation too)",
        fix="Begin each sequence from zeros: out, _ = rnn(x). Carry a detached state only between consecutive parts of "
        "one text, with shuffle=False, and reset it where a text begins",
    )


def _in_order(subject: Subject, place: str, name: str, line: Line) -> Iterator[Finding]:
    """Find rows of the next batch that do not go on where those of this one end, where the targets say what does."""
    two = list(subject.batches(2))
    if len(two) < 2:
        return
    (inputs, target), (later, _) = (unpacked(batch) for batch in two)
    series, behind = next(flat(inputs), None), next(flat(later), None)
    if series is None or behind is None or not is_next(series, target) or series.shape != behind.shape:
        return
    goes_on = float((target[:, -1] == behind[:, 0]).double().mean())
    chance = float((target[:, -1] == behind[:, 0].roll(1, 0)).double().mean())
    if goes_on > max(0.5, chance + 0.3):
        return
    yield found(
        "state-carried",
        place,
        f"the hidden state {name} of a batch is carried into the next one, whose row i does not continue row i of this "
        "one: the state is that of another part of the text",
        severity="warning",
        at=line,
        evidence=f"the next token of {goes_on:.0%} of the rows is the first one of the same row in the next batch",
        effect="the state says nothing about what a row begins with, and is noise",
        fix="Lay out the text in batch_size streams: sample b + batch_size * w is window w of stream b; or begin each "
        "batch from zeros",
    )


def _batches(subject: Subject) -> tuple[Any, Any, Any] | None:
    """Return a batch, the same with another first sample, and the next one."""
    samples = subject.samples(2 * PROBED)
    if len(samples) < 2 * PROBED:
        return None
    try:
        return (
            subject.collated(samples[:PROBED]),
            subject.collated([samples[1], *samples[1:PROBED]]),
            subject.collated(samples[PROBED:]),
        )
    except Exception as error:
        raise Stuck(f"gives no batch: {error}") from error


def _by_forward(subject: Subject, batches: list[Any]) -> Any:
    with subject.scratch() as scratch, torch.no_grad():
        model = in_eval(scratch.model)
        return [subject.forward(model, batch) for batch in batches][-1]


def _by_step(subject: Subject, batches: list[Any]) -> Any:
    assert subject.train_step is not None
    with copies_with(subject, subject.train_step) as copies:
        for group in (group for optimizer in copies.optimizers for group in optimizer.param_groups):
            group["lr"] = 0.0
        copies.model.train()
        step = copies.functions[0]
        for number, batch in enumerate(batches):
            seed_torch(number)
            taken = partial(step, copies.model, batch, copies.loss, copies.optimizer)
            recording, _, error = recorded(copies.model, taken, values=False, gradients=False)
            if error is not None:
                raise Stuck(str(error))
        calls = [call for call in recording.calls if not call.path]
        return [fact.tensor for fact in calls[-1].outputs] if calls else []


def _rows_apart(one: Any, other: Any) -> list[int]:
    """Return the samples of which the first output is not the same to the bit."""
    a, b = next(flat(one), None), next(flat(other), None)
    if a is None or b is None or a.shape != b.shape or PROBED not in a.shape[:2]:
        return []
    axis = a.shape.index(PROBED)
    apart = (a != b).movedim(axis, 0).reshape(PROBED, -1).any(1)
    return [int(row) for row in apart.nonzero().flatten()]


def _keeper(subject: Subject) -> tuple[str, str, Line] | None:
    """Return place, name and line of the assignment that keeps something of a batch."""
    for path, module, code in own_classes(subject.model):
        for name, method in code.methods().items():
            kept = [] if name == "__init__" else [item for item in _kept(method) if _is_tensor(module, item[0])]
            if kept:
                attribute, line = kept[-1]
                return f"{path}.{attribute}".lstrip("."), f"self.{attribute}", line
    return _kept_by_step(subject)


def _is_tensor(module: nn.Module, name: str) -> bool:
    """Say whether an attribute may hold a state: nothing yet, or tensors."""
    value = getattr(module, name, None)
    return value is None or isinstance(value, Tensor | tuple | list)


def _kept(method: Code) -> Iterator[tuple[str, Line]]:
    """Yield the attributes of ``self`` that a method sets to what it computed."""
    for node in walk(method.node):
        if not isinstance(node, ast.Assign) or isinstance(node.value, ast.Constant):
            continue
        for target in (part for item in node.targets for part in _parts(item)):
            if isinstance(target, ast.Attribute) and called(target).startswith("self.") and _is_computed(node.value):
                yield target.attr, method.line(node)


def _parts(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Tuple | ast.List):
        for item in node.elts:
            yield from _parts(item)
    else:
        yield node


def _is_computed(node: ast.AST) -> bool:
    """Say whether a value is no fresh one, such as zeros."""
    names = [called(call).rpartition(".")[2] for call in walk(node) if isinstance(call, ast.Call)]
    return not any("zero" in name or "init" in name for name in names)


def _kept_by_step(subject: Subject) -> tuple[str, str, Line] | None:
    """Return the global, outer or attribute that ``train_step`` sets, with its last assignment."""
    code = code_of(subject.train_step) if subject.train_step is not None else None
    whole = tree(code.file) if code is not None else None
    if code is None or whole is None:
        return None
    outer = {name for node in walk(code.node) if isinstance(node, ast.Global | ast.Nonlocal) for name in node.names}
    lines: list[tuple[str, Line]] = []
    for node in walk(code.node):
        if isinstance(node, ast.Assign) and not isinstance(node.value, ast.Constant) and _is_computed(node.value):
            for target in (part for item in node.targets for part in _parts(item)):
                base = target.value if isinstance(target, ast.Subscript | ast.Attribute) else target
                name = called(target if isinstance(target, ast.Name | ast.Attribute) else base)
                stays = name in outer if isinstance(target, ast.Name) else bool(name)
                if stays:
                    lines.append((name, code.line(node)))
    if not lines:
        return None
    name, line = max(lines, key=lambda item: item[1].line)
    return f"train_step: {name}", name, line


RULES = (carried,)
