"""Whether targets have anything to do with their inputs: several plain predictors guess, and fail together or not."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from trainkit.findings import Finding
from trainkit.inspection.probes.origins import made_at, method_of, origin
from trainkit.inspection.probes.tables import Table, reads_targets, table
from trainkit.inspection.recording import flat
from trainkit.inspection.source import Line, called, walk
from trainkit.inspection.subject import Subject, found, unpacked
from trainkit.inspection.untouched import kept_generators

BOUND = 0.08
"""Share of the targets' variance that must be explained on unseen samples to count as a relation."""
FEWEST = 300
"""Samples from which a missing relation says something."""
ROWS, WIDTH = 1500, 512
"""Samples and features that the predictors read; more features are mixed into as many."""
WHOLE = (ast.FunctionDef, ast.ClassDef)
SHUFFLES = ("randperm", "permutation", "shuffle", "sample", "argsort", "sort", "roll", "flip", "reversed", "sorted")


def related(subject: Subject) -> Iterator[Finding]:
    """See whether targets have anything to do with their inputs."""
    rows = table(subject, "train_set")
    if rows is None or len(rows.indices) < FEWEST or not rows.alone or not reads_targets(subject):
        return
    x, y = described(rows), coded(rows)
    if x is None or y is None:
        return
    known = _known(rows)
    x, y = x[known], y[known] - y[known].mean(0)
    if len(x) < FEWEST or float(y.abs().sum()) == 0 or dependence(x, y) > BOUND:
        return
    shift = _shift(rows, x, y)
    if shift is not None:
        yield found(
            "target-of-neighbour",
            "train_set: target",
            f"belongs to the sample {'before' if shift == -1 else 'behind'}: inputs and labels are misaligned by one",
            at=_pairing(subject),
            evidence="no relation at the same index, a strong one at the next",
            effect="the labels are noise to their inputs: nothing can be learned",
            fix="Index inputs and targets alike",
        )
        return
    evidence = f"{len(x)} samples: neighbours, lines, random features and a small network guess no better than the mean"
    fix = "Look at how inputs and targets are paired: one order, one index, one permutation for both"
    val = table(subject, "val_set")
    alone = len(list(flat(unpacked(subject.batch)[1]))) == 1  # weights beside labels may tell which are bad
    if val is not None and len(val.indices) >= 100 and val.shape == rows.shape and alone:
        other_x, other_y = described(val), coded(val)
        if other_x is not None and other_y is not None and dependence(other_x, other_y) > 2 * BOUND:
            yield found(
                "target-unrelated",
                "train_set: target",
                "has nothing to do with its input, while the validation set's has: labels are shuffled or misaligned",
                at=_pairing(subject),
                evidence=evidence,
                effect="the labels are noise: the model can only learn them by heart",
                fix=fix,
            )
            return
    at = _ordered_apart(subject)
    yield found(
        "target-unrelated",
        "train_set: target",
        "has nothing to do with its input: labels are shuffled or misaligned"
        if at is not None
        else "shows no relation to the inputs: labels may be shuffled or misaligned",
        severity="info" if at is None else "error",
        at=at,
        evidence=evidence if at is None else f"{evidence}; this line orders one of the two anew",
        effect="the labels are noise: the model can only learn them by heart" if at is not None else "",
        fix=fix if at is not None else "Look at some samples beside their targets",
    )


def _known(rows: Table) -> Tensor:
    """Say which samples have a label: one negative number beside classes is none, as where few are labelled."""
    labels = rows.targets[:ROWS] if rows.targets is not None else torch.zeros(0)
    kinds = labels.unique() if labels.dim() == 1 and not labels.is_floating_point() else labels[:0]
    few = int((kinds < 0).sum()) == 1 and int((kinds >= 0).sum()) >= 2
    return labels >= 0 if few else torch.ones(len(labels), dtype=torch.bool)


def _shift(rows: Table, x: Tensor, y: Tensor) -> int | None:
    """Return by how many places targets are off, if that is one and the samples stand in a row."""
    if len(rows.indices) < 2 or int(rows.indices[1] - rows.indices[0]) != 1:
        return None
    return next((shift for shift in (1, -1) if dependence(x, y.roll(shift, 0), plain=True) > 2 * BOUND), None)


def _pairing(subject: Subject) -> Line | None:
    """Return the line that pairs inputs with targets: one that orders one of them anew, else where the set is made."""
    at = _ordered_apart(subject)
    if at is not None:
        return at
    for file, part in sources(subject):
        for node in walk(part):
            if isinstance(node, ast.Call) and called(node).rpartition(".")[2] in SHUFFLES:
                return Line(file, node.lineno)
    method = method_of(subject.train_set, "__getitem__")
    for node in walk(method.node) if method is not None else ():
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.BinOp) and method is not None:
            return method.line(node)
    if method is not None:
        return next((method.line(node) for node in walk(method.node) if isinstance(node, ast.Return)), None)
    return made_at(subject, "train_set")


def sources(subject: Subject) -> list[tuple[str, ast.AST]]:
    """Return the source that makes the training set and its samples."""
    made = origin(subject, "train_set")
    sources = [(made.file, part) for part in made.parts] if made is not None else []
    methods = [method_of(subject.train_set, name) for name in ("__init__", "__getitem__")]
    return sources + [(method.file, method.node) for method in methods if method is not None]


def _ordered_apart(subject: Subject) -> Line | None:
    """Return the line at which one tensor alone is permuted, so that inputs and targets part."""
    made = origin(subject, "train_set")
    if made is not None:
        plain = [part for part in made.parts if isinstance(part, ast.stmt) and not isinstance(part, WHOLE)]
        at = _apart(plain, list(getattr(made.entry, "args", ())))
        if at is not None:
            return Line(made.file, at)
    for file, part in sources(subject):
        if not isinstance(part, ast.FunctionDef):
            continue
        returned = [node.value for node in walk(part) if isinstance(node, ast.Return)]
        parts = next((pair for value in returned if (pair := _paired(value))), [])
        if part.name == "__init__":
            parts = [node.value for node in walk(part) if isinstance(node, ast.Assign) and _is_own(node.targets[0])]
        at = _apart(sorted(_statements(part), key=lambda node: node.lineno), parts)
        if at is not None:
            return Line(file, at)
    return None


def _paired(value: ast.expr | None) -> list[ast.expr]:
    """Return inputs and targets that an expression pairs: a tuple, ``TensorDataset(x, y)``, ``list(zip(x, y))``."""
    if isinstance(value, ast.Tuple):
        return value.elts
    if isinstance(value, ast.Call) and len(value.args) == 1:
        return _paired(value.args[0])
    pairs = isinstance(value, ast.Call) and called(value).rpartition(".")[2] in ("zip", "TensorDataset", "stack")
    return list(value.args) if isinstance(value, ast.Call) and pairs else []


def _statements(part: ast.AST) -> list[ast.stmt]:
    return [node for node in walk(part) if isinstance(node, ast.Assign | ast.Expr | ast.Return)]


def _is_own(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"


def _apart(statements: list[ast.stmt], parts: list[ast.expr]) -> int | None:
    """Return the line of a permutation that reaches one of some parts and not another."""
    drawn: set[str] = set()
    moved: dict[str, int] = {}
    inline: list[int] = []

    def reached(node: ast.AST) -> int | None:
        for inner in walk(node):
            if isinstance(inner, ast.Subscript) and isinstance(inner.slice, ast.Name) and inner.slice.id in drawn:
                return inner.lineno
            if isinstance(inner, ast.Subscript) and _permutes(inner.slice):
                inline.append(inner.lineno)
                return inner.lineno
            if isinstance(inner, ast.Name) and inner.id in moved:
                return moved[inner.id]
        return None

    for statement in statements:
        if isinstance(statement, ast.Assign):
            names = {node.id for target in statement.targets for node in walk(target) if isinstance(node, ast.Name)}
            line = reached(statement.value)
            if _permutes(statement.value):
                drawn |= names
            elif line is not None:
                moved |= dict.fromkeys(names, line)
        elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            call = statement.value
            if called(call).endswith("shuffle") and _are_targets(call) and isinstance(call.args[0], ast.Name):
                moved[call.args[0].id] = call.lineno
    lines = [reached(part) for part in parts]
    hit = [line for line in lines if line is not None]
    if len(lines) >= 2 and hit and (len(hit) < len(lines) or len(set(inline)) > 1):
        return hit[0]
    return None


def _permutes(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and called(node).rpartition(".")[2] in ("randperm", "permutation", "argsort")


def _are_targets(call: ast.Call) -> bool:
    name = called(call.args[0]).rpartition(".")[2].lower() if call.args else ""
    return name == "y" or any(word in name for word in ("label", "target", "classes"))


def described(rows: Table, width: int = WIDTH) -> Tensor | None:
    """Return inputs as numbers for a predictor: as they are, or counts of tokens; None if neither says enough.

    Args:
        rows: The samples.
        width: Features into which more of them are mixed.
    """
    if rows.inputs is not None:
        if not bool(rows.inputs.isfinite().all()):
            return None
        x = rows.inputs[:ROWS]
    elif rows.raw is not None and rows.raw.dtype != torch.bool and int(rows.raw.min()) >= 0:
        raw = rows.raw[:ROWS].long()
        kinds = int(raw.max()) + 1
        if kinds > 256 and len(rows.shape) > 1:
            return None
        if kinds > WIDTH:
            return None
        counts = torch.zeros(len(raw), kinds, dtype=torch.double).scatter_add_(1, raw, torch.ones(raw.shape).double())
        x = torch.cat([counts, raw.double()], 1) if raw.shape[1] <= WIDTH else counts
    else:
        return None
    if x.shape[1] > width:
        generator = torch.Generator().manual_seed(0)
        x = x @ torch.randn(x.shape[1], width, dtype=x.dtype, generator=generator) / x.shape[1] ** 0.5
    return x.double()


def coded(rows: Table) -> Tensor | None:
    """Return targets as centred columns: one a class, or the numbers themselves."""
    if rows.targets is None or rows.targets.dim() > 2:
        return None
    labels = rows.targets[:ROWS]
    if labels.dim() == 2 and labels.shape[1] > 1:
        y = labels.double() if labels.shape[1] <= 64 else None
    elif labels.is_floating_point() and len(labels.unique()) > 20:
        y = labels.double().reshape(-1, 1)
    else:
        kinds = labels.unique()
        few = 2 <= len(kinds) <= len(labels) // 10
        y = (labels.reshape(-1, 1) == kinds).double() if few else None
    if y is None or not bool(y.isfinite().all()) or float(y.std(0).sum()) == 0:
        return None
    return y - y.mean(0)


def linear(x: Tensor, y: Tensor) -> float:
    """Return the share of variance that a line through some samples explains on those that it has not seen."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    x, y = (x - x.mean(0))[order], y[order]
    cut = int(0.7 * len(x))
    base = (y[cut:] - y[:cut].mean(0)).square().sum()
    if base <= 0:
        return 1.0
    return float(1 - (y[cut:] - _ridge(x / x.std().clamp_min(1e-12), y, cut)).square().sum() / base)


def dependence(x: Tensor, y: Tensor, *, plain: bool = False, thorough: bool = False) -> float:
    """Return the share of variance that the best of some predictors explains on the samples it has not seen.

    Args:
        x: Inputs, (samples, features).
        y: Targets, (samples, columns), centred; one column a class.
        plain: Whether to do without the small network, which is asked only if the others explain nothing.
        thorough: Whether to ask the network too where the others explain something.
    """
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(x), generator=generator)
    x, y = (x - x.mean(0))[order], y[order]
    scale = x.std(0)
    x = (x / torch.where(scale > 1e-12, scale, torch.ones_like(scale)))[:, scale > 1e-12]
    if x.shape[1] == 0:
        return 0.0
    cut = int(0.7 * len(x))
    base = (y[cut:] - y[:cut].mean(0)).square().sum()
    if base <= 0:
        return 1.0
    guesses = [_ridge(x, y, cut), _neighbours(x, y, cut)]
    width = x.shape[1] ** 0.5
    for gain in (0.5, 2.0):
        mix = torch.randn(x.shape[1], 256, dtype=x.dtype, generator=generator) * gain / width
        shift = torch.rand(256, dtype=x.dtype, generator=generator) * 6.28
        guesses.append(_ridge(torch.cos(x @ mix + shift), y, cut))
    best = max(float(1 - (y[cut:] - guess).square().sum() / base) for guess in guesses)
    if plain or (best > BOUND and not thorough):
        return best
    return max(best, float(1 - (y[cut:] - _network(x, y, cut)).square().sum() / base))


def guesses(x: Tensor, y: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Return the columns that neighbours name: for the samples held back of the first inputs, and for all others.

    Args:
        x, y: Inputs and columns of classes; the last three tenths of a random order of them are held back.
        other: Inputs of the other set.
    """
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    mean, scale = x.mean(0), x.std(0)
    scale = torch.where(scale > 1e-12, scale, torch.ones_like(scale))
    x, other, y = ((x - mean) / scale)[order], (other - mean) / scale, y[order]
    cut = int(0.7 * len(x))
    rows = torch.cat([x, other])
    said = _ridge(rows, torch.cat([y, y[:1].expand(len(other), -1)]), cut)
    near = _neighbours(rows, torch.cat([y, y[:1].expand(len(other), -1)]), cut)
    held = len(x) - cut
    scores = [float((guess[:held].argmax(1) == y[cut:].argmax(1)).double().mean()) for guess in (said, near)]
    best = (said, near)[scores.index(max(scores))].argmax(1)
    return best[:held], best[held:]


def _neighbours(x: Tensor, y: Tensor, cut: int, count: int = 15) -> Tensor:
    near = torch.cdist(x[cut:], x[:cut]).topk(min(count, cut), largest=False).indices
    return y[:cut][near].mean(1)


def _ridge(x: Tensor, y: Tensor, cut: int) -> Tensor:
    mean, target = x[:cut].mean(0), y[:cut].mean(0)
    a, b = x[:cut] - mean, y[:cut] - target
    penalty = 0.1 * len(a)
    if a.shape[1] <= len(a):
        weight = torch.linalg.solve(a.T @ a + penalty * torch.eye(a.shape[1], dtype=a.dtype), a.T @ b)
    else:
        weight = a.T @ torch.linalg.solve(a @ a.T + penalty * torch.eye(len(a), dtype=a.dtype), b)
    guess: Tensor = (x[cut:] - mean) @ weight + target
    return guess


def _network(x: Tensor, y: Tensor, cut: int, steps: int = 120) -> Tensor:
    """Fit a small network, and shrink what it says by how well it does on samples that it has not seen."""
    fit = int(0.75 * cut)
    with kept_generators(), torch.enable_grad():
        layers = (nn.Linear(x.shape[1], 64), nn.GELU(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, y.shape[1]))
        net = nn.Sequential(*layers)
        optimizer = torch.optim.AdamW(net.parameters(), lr=5e-3, weight_decay=0.05)
        x32, spread = x.float(), float(y[:cut].std()) or 1.0
        y32 = (y / spread).float()
        best, kept = float(y32[fit:cut].square().mean()), torch.zeros_like(y)
        for step in range(steps):
            optimizer.zero_grad()
            (net(x32[:fit]) - y32[:fit]).square().mean().backward()
            optimizer.step()
            if step % 10 == 9:
                with torch.no_grad():
                    held = float((net(x32[fit:cut]) - y32[fit:cut]).square().mean())
                    if held < best:
                        best, kept = held, net(x32).double() * spread
    return kept[cut:] + y[:cut].mean(0)


RULES = (related,)
