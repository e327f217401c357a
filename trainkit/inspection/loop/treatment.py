"""What the user's own evaluation does to inputs before the model gets them, held against what training does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.probes.tables import table
from trainkit.inspection.recording import Call, Fact, Recording
from trainkit.inspection.source import Line
from trainkit.inspection.step.view import PASSING, seen
from trainkit.inspection.subject import found

if TYPE_CHECKING:
    from trainkit.inspection.loop.figures import Evaluated

APART = 3.0
"""Ratio of deviations, or shift in deviations, from which inputs were not treated alike."""
GATHERING = ("stack", "cat", "concat", "tensor", "as_tensor", "from_numpy", "zeros", "zeros_like", "copy", "setitem")
"""Operations that put samples together."""
FEWEST = 64
"""Values from which their mean and deviation say something."""


def treated(run: Evaluated) -> Iterator[Finding]:
    """Hold what the model is given in the evaluation against what a training step gives it."""
    view = seen(run.subject)
    if view is None:
        return
    trained, evaluated = _given(view.recording), _given(run.recording)
    if trained is None or evaluated is None:
        return
    one, other = trained.inputs[0].tensor, evaluated.inputs[0].tensor
    if one is None or other is None or one.shape[1:] != other.shape[1:] or min(one.numel(), other.numel()) < FEWEST:
        return
    before, after = _raw(view.recording, trained.inputs[0]), _raw(run.recording, evaluated.inputs[0])
    if not _are_apart(one, other) or (before is not None and after is not None and _are_apart(before, after)):
        return
    rows = table(run.subject, "val_set")
    if rows is None or rows.inputs is None or after is None or _are_apart(rows.inputs, after):
        return  # it is not the validation set that is shown
    made, due = _scaling(run.recording, evaluated.inputs[0]), _scaling(view.recording, trained.inputs[0])
    if made is None and due is None:
        return
    yield found(
        "evaluation-input-range",
        f"{run.place}: inputs",
        "gives the model inputs of another range than training does: "
        + ("scaled (normalised) once more" if made is not None else "not normalised (standardised) as in training"),
        at=made or evaluated.line or run.line(),
        evidence=f"mean {float(one.double().mean()):.3g} and standard deviation {float(one.double().std()):.3g} in a "
        f"training step, {float(other.double().mean()):.3g} and {float(other.double().std()):.3g} here",
        effect="the figure is that of a model on inputs that it never saw the like of",
        fix="One function that prepares inputs, called by training and evaluation",
    )


def _given(recording: Recording) -> Call | None:
    """Return the first call of the whole model with a tensor of floats."""
    calls = (call for call in recording.calls if call.path == "" and call.inputs)
    return next((call for call in calls if call.inputs[0].dtype.is_floating_point and call.inputs[0].shape), None)


def _raw(recording: Recording, fact: Fact) -> Tensor | None:
    """Return the tensor that inputs were made of."""
    made = recording.ancestors(fact)
    start = made[-1].inputs[0] if made and made[-1].inputs else fact
    return start.tensor


def _scaling(recording: Recording, fact: Fact) -> Line | None:
    """Return the line of the last operation that changed the numbers of inputs."""
    for op in recording.ancestors(fact):
        if op.name not in (*PASSING, *GATHERING) and op.line is not None:
            return op.line
    return None


def _are_apart(one: Tensor, other: Tensor) -> bool:
    a, b = one.double(), other.double()
    spread = float(a.std())
    if spread == 0 or not bool(a.isfinite().all() and b.isfinite().all()):
        return False
    ratio = float(b.std()) / spread
    return not 1 / APART < ratio < APART or abs(float(b.mean() - a.mean())) > APART * spread
