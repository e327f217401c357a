"""Features of a series that were smoothed over a centred window: what a forecast reads knows what it is to tell."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.probes.origins import is_scaling, made_at, method_of, origin
from trainkit.inspection.probes.tables import Table, table
from trainkit.inspection.source import Line, called, unparse, walk
from trainkit.inspection.subject import Subject, found

TAPS = 12
"""Steps before and after one that a smoothing may hang on."""
FEWEST = 120
"""Windows in a row that say something."""
EXACT, KNOWN = 0.995, 0.9
"""Share of a channel's variance that values before and after tell, and below which those before do not."""
EVEN, OFF = 0.02, 0.1
"""How far mean 0 and deviation 1 may be off to be made so, and how far they are off to matter."""
WEIGHT = 0.02
"""Share of the largest weight from which a step has a part in a mean."""
SMOOTHING = ("filtfilt", "sosfiltfilt", "gaussian_filter1d", "uniform_filter1d", "savgol_filter", "medfilt", "bfill")
"""Functions that smooth in both directions."""
POOLING = ("avg_pool1d", "AvgPool1d", "conv1d", "Conv1d", "unfold", "max_pool1d", "rolling", "convolve")


@dataclass(frozen=True)
class Ahead:
    """A channel that is a mean over steps before and after its own."""

    channel: int
    before: int
    after: int
    known: float


def looks_ahead(subject: Subject) -> Iterator[Finding]:
    """Ask of what steps of the target's series each channel of consecutive windows is a mean."""
    rows = table(subject, "train_set")
    ahead = _ahead(rows) if rows is not None else None
    if ahead is None:
        return
    name, line = _written(subject)
    yield found(
        "features-from-future",
        f"{name}: channel {ahead.channel}",
        f"looks ahead: each value is a centred moving mean over {ahead.before} steps up to its own and {ahead.after} "
        "future ones, among them the target (look-ahead, a leak from the future)",
        at=line,
        evidence=f"a weighted mean of steps before and after gives channel {ahead.channel} exactly, steps before alone "
        f"explain {ahead.known:.0%} of it",
        effect="the forecast is good on stored data and impossible in use, where the future is not known",
        fix="Smooth over the past only: rolling(k).mean() without center=True, np.convolve(x, w)[:len(x)], or pad on "
        "the left: F.pad(x, (k - 1, 0))",
    )


def _ahead(rows: Table) -> Ahead | None:
    series, target = _series(rows), rows.targets
    if series is None or target is None or not target.is_floating_point():
        return None
    y = target.reshape(len(target), -1)[:, 0].double()
    last = series[:, -1].double()
    bases = [y, *(last[:, channel] for channel in range(last.shape[1]) if _tells(last[:, channel], y))]
    for channel in range(min(last.shape[1], 32)):
        for number, base in enumerate(bases):
            found_ahead = _mean_of(last[:, channel], base, channel, own=number == 0)
            if found_ahead is not None:
                return found_ahead
    return None


def _series(rows: Table) -> Tensor | None:
    """Return windows (samples, time, channels), where each is the one before moved by one step."""
    values = rows.inputs
    if values is None or not rows.complete or len(rows.samples) < FEWEST or len(rows.shape) not in (1, 2):
        return None
    whole = values.reshape(len(values), *rows.shape)
    for windows in [whole[:, :, None]] if len(rows.shape) == 1 else [whole, whole.transpose(1, 2)]:
        if windows.shape[1] >= 3:
            alike = (windows[1:, :-1] == windows[:-1, 1:]).flatten(1).all(1)
            if float(alike.double().mean()) > 0.9:
                return windows
    return None


def _tells(channel: Tensor, y: Tensor) -> bool:
    """Say whether a target is a step of a channel to come, or what it changes by."""
    later = [channel[step : len(channel) - TAPS + step] for step in range(TAPS)]
    return _share(torch.stack(later, 1), y[: len(channel) - TAPS]) > 0.999


def _mean_of(channel: Tensor, base: Tensor, number: int, own: bool) -> Ahead | None:
    """Return of which steps a channel is a mean, if some of them are to come.

    Args:
        channel: Values at the last step of each window.
        base: The series; of the target (``own``) its first value to come stands at the same place.
        number: Of the channel.
    """
    count = len(channel)
    inner = slice(2 * TAPS, count - 2 * TAPS)
    steps = range(-TAPS, TAPS + 1)
    shifted = torch.stack([base[2 * TAPS + step : count - 2 * TAPS + step] for step in steps], 1)
    given, spread = channel[inner], channel.std()
    present = TAPS - 1 if own else TAPS
    if len(given) < FEWEST or not bool(spread > 0) or not bool(shifted.isfinite().all()):
        return None
    known = _share(shifted[:, : present + 1], given)
    if known > KNOWN or _share(shifted, given) < EXACT:
        return None
    weights = _fit(shifted, given)[:-1]
    weights = weights * weights.sum().sign()
    large = weights.abs() > WEIGHT * weights.abs().max()
    before, after = int(large[: present + 1].sum()), int(large[present + 1 :].sum())
    if before + after < 3 or before == 0 or after == 0 or bool((weights[large] < 0).any()):
        return None
    return Ahead(number, before, after, known)


def _fit(x: Tensor, y: Tensor) -> Tensor:
    design = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1)
    solution: Tensor = torch.linalg.lstsq(design, y[:, None], driver="gelsd").solution
    return solution[:, 0]


def _share(x: Tensor, y: Tensor) -> float:
    """Return the share of a series' variance that a line over others explains."""
    weights = _fit(x, y)
    rest = y - x @ weights[:-1] - weights[-1]
    return 1 - float(rest.square().sum() / (y - y.mean()).square().sum().clamp_min(1e-30))


def _written(subject: Subject) -> tuple[str, Line | None]:
    """Return the function that smooths, and the line."""
    made = origin(subject, "train_set")
    line = made.find(_smooths) if made is not None else None
    if made is not None and line is not None:
        scopes = [scope for part in made.parts for scope in walk(part) if isinstance(scope, ast.FunctionDef)]
        for scope in scopes:
            if scope.lineno <= line.line <= (scope.end_lineno or 0):
                return f"train_set: {scope.name}", line
    return "train_set: inputs", line or made_at(subject, "train_set")


def _smooths(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name, text = called(node).rpartition(".")[2], unparse(node)
    name = name or getattr(node.func, "attr", "")
    return name in SMOOTHING or (name in POOLING and any(word in text for word in ("same", "center=True", "padding")))


def scaled_together(subject: Subject) -> Iterator[Finding]:
    """Find windows that were centred or scaled together with the value that they are to predict."""
    rows = table(subject, "train_set")
    if rows is None or rows.inputs is None or rows.targets is None or not rows.targets.is_floating_point():
        return
    x, y = rows.inputs.double(), rows.targets.reshape(len(rows.targets), -1).double()
    if not (len(rows.shape) == 1 or (len(rows.shape) == 2 and 1 in rows.shape)) or not 4 <= x.shape[1] <= 2048:
        return
    if len(x) < FEWEST or y.shape[1] > x.shape[1] or not bool(x.isfinite().all() and y.isfinite().all()):
        return
    how = _scaled(x, y)
    if how is None:
        return
    method = method_of(subject.train_set, "__getitem__")
    nodes = [node for node in walk(method.node) if is_scaling(node)] if method is not None else []
    yield found(
        "window-scaled-with-target",
        "train_set.__getitem__: window" if nodes else "train_set: window",
        f"is {how[0]} together with the target: what the inputs lack tells the value to be predicted (a leak from the "
        "future, look-ahead)",
        at=method.line(nodes[0]) if method is not None and nodes else made_at(subject, "train_set"),
        evidence=how[1],
        effect="the model learns to solve for the target, which in use is not there to be scaled with",
        fix="Take mean and deviation of the inputs alone: (w - w[:-1].mean()) / w[:-1].std()",
    )


def _scaled(x: Tensor, y: Tensor) -> tuple[str, str] | None:
    """Return how a window and its target were scaled together, and the evidence."""
    alone, both = x.sum(1), x.sum(1) + y.sum(1)
    if float(both.std()) < 1e-4 * float(alone.std()) and float(alone.std()) > 1e-3:
        return "centred", "inputs and target of each sample sum to one number, the inputs alone do not"
    whole = torch.cat([x, y], 1)
    low, high = whole.amin(1), whole.amax(1)
    inside = ((x.amin(1) > low + 1e-6) | (x.amax(1) < high - 1e-6)).double().mean()
    fixed = float(low.std()) < 1e-5 and float(high.std()) < 1e-5 and float(high.mean()) > float(low.mean())
    by_itself = ((y.amin(1) < low + 1e-6) & (y.amax(1) > high - 1e-6)).double().mean()
    if fixed and float(by_itself) < 0.9 and float(inside) > 0.02 and len(x[:64].unique()) > 20:
        return "scaled", (
            f"least and greatest value of inputs and target together are {float(low.mean()):.3g} and "
            f"{float(high.mean()):.3g} in every sample, of the inputs alone in {1 - float(inside):.0%}"
        )
    return None


def whole_series(subject: Subject) -> Iterator[Finding]:
    """See whether the series of both sets together has mean 0 and deviation 1, and that of the training set has not."""
    train, val = table(subject, "train_set"), table(subject, "val_set")
    one, other = (None if rows is None else _line_of(rows) for rows in (train, val))
    if one is None or other is None or one.shape[1] != other.shape[1]:
        return
    both = torch.cat([one, other])
    for channel in range(both.shape[1]):
        mean, spread = float(both[:, channel].mean()), float(both[:, channel].std())
        own, wide = float(one[:, channel].mean()), float(one[:, channel].std())
        if abs(mean) > EVEN or abs(spread - 1) > EVEN or (abs(own) < OFF and abs(wide - 1) < OFF):
            continue
        made = origin(subject, "train_set")
        line = made.find(_standardises) if made is not None else None
        yield found(
            "scaled-before-split",
            "train_set: series",
            "was standardised as a whole, before the split by time: mean and deviation of the validation set (the "
            "future) are in the training inputs, a leak (look-ahead)",
            severity="info",
            at=line or made_at(subject, "train_set"),
            evidence=f"both sets together have mean {mean:.2g} and deviation {spread:.4g}, the training set alone "
            f"{own:.2g} and {wide:.3g}",
            effect="validation is better than the model will be on data that come later",
            fix="Take the statistics of the training part: mean, std = series[:n].mean(), series[:n].std()",
        )
        return


def _line_of(rows: Table) -> Tensor | None:
    """Return the series (time, channels) that consecutive windows were cut from."""
    series = _series(rows)
    return None if series is None else torch.cat([series[0], series[1:, -1]]).double()


def _standardises(node: ast.AST) -> bool:
    text = unparse(node) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) else ""
    return ("mean" in text or "mu" in text) and ("std" in text or "sigma" in text or "sd" in text)


RULES = (looks_ahead, scaled_together, whole_series)
