"""Whether one step can be taken at all; what the other rules look at is the step that this one took."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path

from trainkit.findings import Finding
from trainkit.inspection.source import Line, is_own
from trainkit.inspection.subject import Stuck, Subject, Trace, found


def runs(subject: Subject) -> Iterator[Finding]:
    """Take the first batch through model, loss and backward."""
    if subject.train_set is None:
        return
    try:
        subject.batch  # noqa: B018 - made on first use
    except Stuck as stuck:
        cause = stuck.__cause__
        at = raised_at(cause) if cause is not None else None
        fix = "Make collate([train_set[0], train_set[1]]) run"
        yield found("no-batch", "train_set", str(stuck), at=at, effect="nothing can be trained", fix=fix)
        return
    try:
        trace = subject.trace
    except Stuck as stuck:
        fix = "Keep files, locks and sockets out of modules, or give the class a __deepcopy__"
        yield found("cannot-copy", "model", f"{stuck}; only its source was read", severity="info", fix=fix)
        return
    if trace.error is not None and subject.train_step is None:
        yield _failure(trace, trace.error)


HERE = Path(__file__).parent
PASSING_ON = ("__torch_function__", "__torch_dispatch__")
"""Functions of the recorders that run what the user's line asks for."""


def _failure(trace: Trace, error: Exception) -> Finding:
    path = trace.recording.failed_in
    place = "loss" if path is None else path or "model"
    shapes = " -> ".join(
        f"{call.path or 'model'}{[list(fact.shape) for fact in call.inputs]}" for call in trace.recording.calls[-4:]
    )
    message = f"cannot be run on the first batch: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return found(
        "step-fails",
        place,
        message,
        at=raised_at(error),
        evidence=shapes,
        effect="nothing can be trained",
        fix="Mend that line, or give the check what the training is given: collate, train_step, loss(output, target)",
    )


def raised_at(error: BaseException) -> Line | None:
    """Return the user's innermost line in an error's traceback."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if is_own(frame.filename)]
    return Line(frames[-1].filename, frames[-1].lineno or 1) if frames else None


def is_ours(error: BaseException) -> bool:
    """Say whether it was the inspection that raised an error, in a hook say, and not what it looks at."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.name not in PASSING_ON]
    return bool(frames) and HERE in Path(frames[-1].filename).parents


RULES = (runs,)
