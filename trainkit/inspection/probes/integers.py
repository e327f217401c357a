"""Numbers that their kind cannot hold: small integers that wrap around, and large ones that float32 rounds."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.probes.origins import method_of, origin, stored, whole_of
from trainkit.inspection.probes.tables import affordable, indexed
from trainkit.inspection.recording import Op, Recording, flat, recorded
from trainkit.inspection.source import Line, unparse, walk
from trainkit.inspection.step.view import seen
from trainkit.inspection.subject import Subject, found, unpacked
from trainkit.inspection.untouched import copied_data, kept_generators, quiet

NARROW = (torch.uint8, torch.int8, torch.int16)
"""Integers that ordinary sums leave the range of."""
ARRAYS = (np.uint8, np.int8, np.int16, np.uint16)
TRIED, SOME, BESIDE = 8, 1e-3, 0.02
"""Samples that are read, and shares of their numbers that must change and stay as they are."""
EXACT = 2**24
"""Whole numbers from which float32 does not hold each."""
HARMED = 0.05
"""Share of their deviation by which samples change when what float32 rounds changes."""


def wraps(subject: Subject) -> Iterator[Finding]:
    """Look for sums of small integers that leave their range: in a step, in a sample that is read, in a collate."""
    view = seen(subject) if subject.train_set is not None else None
    for recording in (view.recording if view is not None else None, _reading(subject)):
        for op in recording.ops if recording is not None else ():
            what = _wrapped(op)
            if what is not None and not _marks(subject, *what[1:]):
                kind = str(op.outputs[0].dtype).removeprefix("torch.")
                yield _told(f"{_place(subject, op)}: {op.name}", what[0], op.line, kind)
                return
    written = _written(subject)
    if written is not None:
        yield _told(*written)
        return
    if not indexed(subject.train_set) or not affordable(subject, 2 * TRIED):
        return
    changed = _widened(subject)
    if changed is not None:
        kind, shown = changed
        data = whole_of(subject.train_set)
        yield _told(f"{type(data).__name__}.__getitem__", shown, _arithmetic(subject), kind)


def _place(subject: Subject, op: Op) -> str:
    """Return the module, method or function in which an operation is written."""
    method = method_of(subject.train_set, op.function)
    written = method is not None and op.line is not None and method.file == op.line.file
    if op.module is None and written:
        return f"{type(whole_of(subject.train_set)).__name__}.{op.function}"
    return op.module or op.function


def _told(place: str, shown: str, at: Line | None, kind: str) -> Finding:
    return found(
        "integers-wrap",
        place,
        f"calculates in {kind}, whose numbers wrap around (overflow): what leaves its range returns at the other end",
        at=at,
        evidence=shown,
        effect="bright becomes dark, and small negative differences become large positive ones",
        fix=f"Cast before arithmetic: x.float() or x.astype(np.float32), and clip if it has to be {kind} again",
    )


def _reading(subject: Subject) -> Recording | None:
    """Record the reading of some samples, and their collate."""
    if not indexed(subject.train_set) or not affordable(subject, TRIED):
        return None
    return subject.once(_read)


def _read(subject: Subject) -> Recording | None:
    with kept_generators(), quiet():
        data, indices = copied_data(subject.train_set), subject.indices(TRIED)
        recording, _, error = recorded(
            subject.model, lambda: subject.collated([data[index] for index in indices]), gradients=False
        )
    return recording if error is None else None


def _marks(subject: Subject, given: Tensor, due: Tensor) -> bool:
    """Say whether what wraps around is a mark in the target: 0, no class, which becomes 255, and is ignored as that."""
    target = unpacked(subject.batch)[1] if given.unique().numel() == due.unique().numel() == 1 else None
    whole = isinstance(target, Tensor) and target.dtype in (torch.uint8, torch.int32, torch.int64)
    return whole and isinstance(target, Tensor) and bool((target == int(given[0])).any())


def _wrapped(op: Op) -> tuple[str, Tensor, Tensor] | None:
    """Return how an operation's numbers wrapped around, if they did, with those that did and what they should be."""
    if op.line is None or not op.outputs or op.outputs[0].dtype not in NARROW or op.in_place:
        return None
    facts = [fact for fact in op.inputs if fact.tensor is not None]
    given = op.outputs[0].tensor
    if given is None or not facts or len(facts) != len(op.inputs):
        return None
    if op.name in ("add", "sub", "mul", "rsub"):
        values = [item.tensor.long() if hasattr(item, "tensor") else item for item in op.args]
        if len(values) != 2 or op.kwargs or not all(isinstance(value, Tensor | int) for value in values):
            return None
        wide = values[0] * values[1] if op.name == "mul" else values[0] + values[1] * (1 if op.name == "add" else -1)
        wide = -wide if op.name == "rsub" else wide
        if wide.shape != given.shape or not torch.equal(wide.to(given.dtype), given):
            return None  # it was written into since
    elif op.name in ("to", "type", "byte", "char", "short") and facts[0].shape == op.outputs[0].shape:
        wide = facts[0].tensor.double().trunc() if facts[0].tensor is not None else given
    else:
        return None
    if wide.shape != given.shape or not bool(wide.double().isfinite().all()):
        return None
    wrong = (wide != given.to(wide.dtype)).flatten()
    if float(wrong.double().mean()) < SOME:
        return None
    first = int(wrong.nonzero()[0])
    what = f"{op.name} gives {int(given.flatten()[first])} where {int(wide.flatten()[first])} is due"
    return what, given.flatten()[wrong], wide.flatten()[wrong]


def _widened(subject: Subject) -> tuple[str, str] | None:
    """Read samples where the data set stores small integers, and where it stores the same as large ones."""
    small = {
        id(value): value
        for value in stored(subject.train_set).values()
        if getattr(value, "dtype", None) in NARROW or (isinstance(value, np.ndarray) and value.dtype.type in ARRAYS)
    }
    if not small or sum(value.nbytes for value in small.values()) > EXACT:
        return None
    wide: dict[int, Any] = {
        number: value.long() if isinstance(value, Tensor) else value.astype(np.int64) for number, value in small.items()
    }
    indices = subject.indices(TRIED)
    with quiet():
        narrow = copied_data(subject.train_set)
        other = copy.deepcopy(subject.train_set, wide)
        pairs = []
        for index in indices:
            try:
                with kept_generators():
                    one = [tensor.double().flatten() for tensor in flat(narrow[index])]
                with kept_generators():
                    two = [tensor.double().flatten() for tensor in flat(other[index])]
            except Exception:  # noqa: BLE001 - code for small integers alone says nothing about their sums
                return None
            pairs += [(a, b) for a, b in zip(one, two, strict=False) if a.shape == b.shape and len(a) > 1]
    if not pairs:
        return None
    a, b = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    apart = (a - b).abs() > 1e-6 * b.abs().max()
    still = ~apart & (a != 0)
    if float(apart.double().mean()) < SOME or float(still.double().mean()) < BESIDE or _is_by_type(a, b):
        return None
    if _marks(subject, a[apart], b[apart]):
        return None
    first = int(apart.nonzero()[0])
    kind = str(next(iter(small.values())).dtype).removeprefix("torch.")
    return kind, (
        f"{float(apart.double().mean()):.0%} of the values are others than in int64: {float(a[first]):.4g} where "
        f"{float(b[first]):.4g} is due"
    )


def _is_by_type(narrow: Tensor, wide: Tensor) -> bool:
    """Say whether values differ by a scale alone, as where a function divides by 255 what is of type uint8."""
    if not bool(narrow.isfinite().all() and wide.isfinite().all()):
        return True
    ratio = float(wide.std() / narrow.std().clamp_min(1e-30))
    return not 0.01 < ratio < 100 and float(torch.corrcoef(torch.stack([narrow, wide]))[0, 1].nan_to_num(1.0)) > 0.7


def _written(subject: Subject) -> tuple[str, str, Line, str] | None:
    """Find sums of two names that the source of the training set has just cast to bytes of the full range."""
    made = origin(subject, "train_set")
    for function in made.parts if made is not None else ():
        if not isinstance(function, ast.FunctionDef) or made is None:
            continue
        narrow: set[str] = set()
        for node in sorted((n for n in walk(function) if isinstance(n, ast.Assign)), key=lambda n: n.lineno):
            names = {target.id for target in node.targets if isinstance(target, ast.Name)}
            for inner in walk(node.value):
                if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Add | ast.Sub | ast.Mult):
                    sides = (inner.left, inner.right)
                    if all(isinstance(side, ast.Name) and side.id in narrow for side in sides):
                        shown = f"{unparse(inner)}, both of which are uint8 in 0..255"
                        return function.name, shown, Line(made.file, node.lineno), "uint8"
            narrow = narrow | names if _makes_bytes(node.value) else narrow - names
    return None


def _makes_bytes(node: ast.AST) -> bool:
    """Say whether an expression is a cast of what reaches 255 to bytes."""
    text = unparse(node)
    cast = text.endswith(("astype(np.uint8)", "astype('uint8')", ".to(torch.uint8)", ".byte()"))
    return (cast or text.endswith(("dtype=np.uint8)", "dtype=torch.uint8)"))) and "25" in text


def _arithmetic(subject: Subject) -> Line | None:
    """Return the first line of ``__getitem__`` that adds, subtracts or multiplies."""
    method = method_of(subject.train_set, "__getitem__")
    if method is None:
        return None
    for node in walk(method.node):
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Add | ast.Sub | ast.Mult):
            sides = [node.left, node.right] if isinstance(node, ast.BinOp) else [node.target, node.value]
            if any(isinstance(inner, ast.Name | ast.Attribute) for side in sides for inner in walk(side)):
                return method.line(node)
    return method.line(method.node)


def rounded(subject: Subject) -> Iterator[Finding]:
    """Look for counters, times or ids too large for float32, cast in a step, a sample or where data are made."""
    written = _recorded(subject) or _cast(subject)
    if written is None:
        return
    place, at, evidence = written
    yield found(
        "rounded-in-float32",
        place,
        "holds whole numbers beyond 2**24 (16777216), such as a timestamp or an id, in float32: its precision "
        "(resolution) is too coarse, and they are rounded",
        at=at,
        evidence=evidence,
        effect="what is calculated of them is mostly rounding: neighbouring times and ids become one",
        fix="Calculate in int64 or float64 (.double()), and cast the small result; or subtract the start first",
    )


def _recorded(subject: Subject) -> tuple[str, Line, str] | None:
    """Find casts of large whole numbers in a step or a sample whose remainder or whole part is taken."""
    view = seen(subject) if subject.train_set is not None else None
    for recording in (view.recording if view is not None else None, _reading(subject)):
        for op in recording.of("float", "to", "type") if recording is not None else ():
            if op.line is None or not op.inputs or not op.outputs or op.outputs[0].dtype is not torch.float32:
                continue
            fact = op.inputs[0]
            if fact.dtype is not torch.int64 or fact.low is None or fact.high is None or recording is None:
                continue
            largest = max(abs(fact.low), abs(fact.high))
            if largest < EXACT:
                continue
            step = 2.0 ** (torch.tensor(largest).log2().floor().item() - 23)
            if any(_minds(reader, step) for reader in recording.users(op.outputs[0])):
                shown = f"values up to {largest:.0f}, which float32 holds in steps of {step:g}"
                return f"{_place(subject, op)}: {op.name}", op.line, shown
    return None


def _minds(op: Op, step: float) -> bool:
    """Say whether an operation minds that numbers are rounded to steps."""
    if op.name in ("remainder", "fmod", "mod", "floor_divide") and len(op.args) > 1:
        return isinstance(op.args[1], int | float) and step > HARMED * abs(op.args[1])
    return op.name in ("long", "int") or (op.name == "to" and not op.outputs[0].dtype.is_floating_point)


def harmless(data: Any, value: Tensor) -> bool:
    """Say whether samples are hardly others when large stored numbers move within what float32 rounds."""
    wide = value.double()
    step = (wide.abs().clamp_min(1).log2().floor() - 23).exp2()
    noise = torch.rand(wide.shape, generator=torch.Generator().manual_seed(0), dtype=torch.double) - 0.5
    return _harm(whole_of(data), value, wide + noise * step) < HARMED


def _harm(data: Any, value: Tensor, moved: Tensor) -> float:
    """Return how much samples of numbers change, relative to their deviation, when what is stored does."""
    total = len(data)
    indices = [index * total // TRIED for index in range(TRIED)]
    with kept_generators(), quiet():
        plain, other = copied_data(data), copy.deepcopy(data, {id(value): moved})
        try:
            pairs = [([*flat(plain[index])], [*flat(other[index])]) for index in indices]
        except Exception:  # noqa: BLE001 - samples that cannot be made of float64 tell nothing
            return 1.0
    worst = 0.0
    for place in range(min(len(one) for one, _ in pairs)):
        one, two = ([sample[which][place] for sample in pairs] for which in (0, 1))
        if any(x.shape != one[0].shape for x in (*one, *two)):
            return 1.0
        if not one[0].is_floating_point():
            if all(torch.equal(x, y) for x, y in zip(one, two, strict=True)):
                continue  # such as a class, which hangs on no large number
            return 1.0
        a, b = torch.stack(one).double(), torch.stack([x.double() for x in two])
        worst = max(worst, float((a - b).square().mean().sqrt() / a.std(0).square().mean().sqrt().clamp_min(1e-12)))
    return worst


def _cast(subject: Subject) -> tuple[str, Line, str] | None:
    """Find where the source that makes the training set casts large whole numbers to float32, and reckons with them."""
    made = origin(subject, "train_set")
    functions = [part for part in made.parts if isinstance(part, ast.FunctionDef)] if made is not None else []
    large: set[tuple[str, str]] = set()
    for _ in range(3):
        for function in functions:
            names = {name for owner, name in large if owner == function.name}
            for node in walk(function):
                if isinstance(node, ast.Assign) and not _shrinks(node.value):
                    large_one = _is_large(node.value) or _reads(node.value, names)
                    names |= {each.id for each in node.targets if isinstance(each, ast.Name)} if large_one else set()
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    called = next((other for other in functions if other.name == node.func.id), None)
                    for place, argument in enumerate(node.args if called is not None else ()):
                        given = isinstance(argument, ast.Name) and argument.id in names
                        if given and called is not None and place < len(called.args.args):
                            large.add((called.name, called.args.args[place].arg))
            large |= {(function.name, name) for name in names}
    for function in functions:
        names = {name for owner, name in large if owner == function.name}
        for node in walk(function):
            if isinstance(node, ast.Assign) and _is_cast(node.value) and _reads(node.value, names):
                kept = {target.id for target in node.targets if isinstance(target, ast.Name)}
                if made is not None and _reckons(function, kept):
                    shown = unparse(node.value)
                    return function.name, Line(made.file, node.lineno), f"{shown} of numbers beyond 2**24"
    return None


def _is_large(node: ast.AST) -> bool:
    """Say whether an expression adds a number beyond what float32 holds exactly."""
    for inner in walk(node):
        if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Add):
            for side in (inner.left, inner.right):
                if isinstance(side, ast.Constant) and isinstance(side.value, int | float) and side.value >= EXACT:
                    return True
    return False


def _reads(node: ast.AST, names: set[str]) -> bool:
    return any(isinstance(inner, ast.Name) and inner.id in names for inner in walk(node))


def _shrinks(node: ast.AST) -> bool:
    """Say whether an expression makes large numbers small."""
    sums = (inner for inner in walk(node) if isinstance(inner, ast.BinOp))
    return any(isinstance(inner.op, ast.Mod | ast.Sub | ast.Div) for inner in sums)


def _is_cast(node: ast.AST) -> bool:
    """Say whether an expression is a cast to float32 alone."""
    if not isinstance(node, ast.Call) or _shrinks(node):
        return False
    text = unparse(node)
    return text.endswith(".float()") or "torch.float32" in text or "np.float32" in text or "torch.float)" in text


def _reckons(function: ast.FunctionDef, names: set[str]) -> bool:
    """Say whether small differences of some numbers matter: their remainder, difference or whole part is taken."""
    for node in walk(function):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod | ast.Sub | ast.FloorDiv):
            if _reads(node.left, names):
                return True
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            minds = node.func.attr in ("long", "int", "remainder", "fmod", "diff")
            if minds and _reads(node.func.value, names):
                return True
    return False


RULES = (wraps, rounded)
