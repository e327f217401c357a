"""Losses that take log-probabilities or rates, and targets that the model's last operation cannot reach."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from trainkit.findings import Finding
from trainkit.inspection.first_step import raised_at
from trainkit.inspection.recording import Fact, Op
from trainkit.inspection.step.bounds import activation, bounds
from trainkit.inspection.step.losses import LOGS, raw_scores, sums_to_one
from trainkit.inspection.step.view import SINKS, TARGET, WEIGHT, View, seen, source, tensor_of
from trainkit.inspection.subject import Subject, found

RESIDUALS = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
OUTSIDE = 0.02
"""Share of targets that may lie out of reach."""


def negative_log_likelihood(subject: Subject) -> Iterator[Finding]:
    """Find NLLLoss and KLDivLoss on what is no log-probability."""
    view = seen(subject)
    if view is None:
        return
    for op in view.sinks("nll_loss", "kl_div"):
        fact = op.inputs[0]
        values = tensor_of(fact)
        dim = (1 if op.name == "nll_loss" else -1) if len(fact.shape) > 1 else 0
        if values is None or not fact.finite or fact.shape[dim] < 2:
            continue
        logs = _logs(view, fact)
        if sums_to_one(values, dim):
            yield _not_logs(view, op, fact, "probabilities")
        elif sums_to_one(values.exp(), dim):
            yield from _teacher(view, op)
        elif logs:
            others = [other for other in range(len(fact.shape)) if other != dim % len(fact.shape)]
            wrong = next((other for other in others if sums_to_one(values.exp(), other)), None)
            if wrong is not None and op.name == "nll_loss":
                yield _wrong_dim(view, op, logs[0], wrong, dim)
        else:
            yield _not_logs(view, op, fact, "raw scores")


def _logs(view: View, fact: Fact) -> list[Op]:
    """Return the operations that give logarithms among the last ones before a loss."""
    made = view.recording.ancestors(fact)
    return [op for op in made if op.name in LOGS or "log" in op.name]


def _not_logs(view: View, op: Op, fact: Fact, what: str) -> Finding:
    maker, _ = source(fact)
    judge = "NLLLoss" if op.name == "nll_loss" else "KLDivLoss"
    bend = activation(view, fact) if what == "probabilities" else None
    place, line = view.place(bend, "softmax") if bend is not None else view.place(op, op.name)
    last = f" (the last operation is {maker.name})" if maker is not None else ""
    return found(
        "nll-without-log-softmax",
        place,
        f"gives {what}{last} to {judge}, which takes log-probabilities: log_softmax is missing",
        at=line or view.loss_line,
        evidence=f"input from {fact.low:.3g} to {fact.high:.3g}; exp of log-probabilities would sum to 1",
        effect="the loss is no likelihood: it falls without bound or has almost no gradient",
        fix="Use F.log_softmax(scores, dim=1) with NLLLoss, or nn.CrossEntropyLoss() on the raw scores (logits).",
    )


def _wrong_dim(view: View, op: Op, log: Op, wrong: int, dim: int) -> Finding:
    place, line = view.place(log)
    return found(
        "softmax-over-wrong-dim",
        place,
        f"normalises over dim {wrong}, and the loss reads the classes from dim {dim}",
        at=line,
        evidence=f"output {tuple(log.outputs[0].shape)}: its exp sums to 1 over dim {wrong}",
        effect="samples or positions compete with each other instead of classes",
        fix=f"Use {log.name}(..., dim={dim}).",
    )


def _teacher(view: View, op: Op) -> Iterator[Finding]:
    """Look at the target of a KLDivLoss."""
    if op.name != "kl_div" or len(op.inputs) < 2:
        return
    target = tensor_of(op.inputs[1])
    in_logs = bool(op.setting("log_target", 5, False))
    if target is None or target.dim() < 1 or target.shape[-1] < 2:
        return
    wrong = sums_to_one(target, -1) if in_logs else bool(target.min() < -1e-6)
    if not wrong:
        return
    place, line = view.place(op, "kl_div")
    given = "probabilities" if in_logs else "log-probabilities" if sums_to_one(target.exp(), -1) else "raw scores"
    yield found(
        "kl-div-target",
        place,
        f"is given {given} as its target, and log_target={in_logs} says otherwise",
        at=line or view.loss_line,
        evidence=f"target from {float(target.min()):.3g} to {float(target.max()):.3g}",
        effect="the loss is no divergence: it may fall below 0 and its minimum is elsewhere",
        fix="Give probabilities (softmax), or log-probabilities with log_target=True.",
    )


def bce_fails(subject: Subject) -> Iterator[Finding]:
    """Tell the cause of the failure that BCELoss raises on raw scores."""
    if subject.train_set is None or subject.train_step is not None or subject.trace.error is None:
        return
    if "between 0 and 1" not in str(subject.trace.error):
        return
    trace, error = subject.trace, subject.trace.error
    view = View(subject, trace.recording, (), trace.inputs, trace.target, trace.outputs, trace.gradients)
    last = [op for op in trace.recording.ops if op.outputs and WEIGHT in view.came(op.outputs[0])]
    if last:
        ends = [call.outputs for call in trace.recording.calls if not call.path and call.outputs]
        fact = ends[-1][0] if ends else last[-1].outputs[0]
        finding = raw_scores(view, last[-1], f"outputs from {fact.low:.3g} to {fact.high:.3g}")
        line = view.loss_line if isinstance(subject.loss, torch.nn.Module) else None
        yield found(
            finding.rule,
            "loss: BCELoss",
            finding.message,
            at=line or raised_at(error),
            evidence=finding.evidence,
            effect="training stops with an error",
            fix=finding.fix,
        )


def unreachable_targets(subject: Subject) -> Iterator[Finding]:
    """Find targets of a regression that the model's last operation cannot give."""
    view = seen(subject)
    if view is None:
        return
    for prediction, target in _residuals(view):
        values = tensor_of(target)
        low, high = bounds(view, prediction)
        bend = activation(view, prediction)
        if values is None or bend is None or (low == -float("inf") and high == float("inf")):
            continue
        width = high - low if high - low < float("inf") else float(values.max() - values.min())
        slack = 0.02 * max(width, 1e-6)
        share = float(((values < low - slack) | (values > high + slack)).float().mean())
        if share <= OUTSIDE:
            continue
        place, line = view.place(bend)
        module = view.module_named(bend)
        yield found(
            "targets-out-of-reach",
            place,
            f"is the last operation ({module or bend.name}) and gives {low:g} to {high:g}, but targets lie outside",
            at=line,
            evidence=f"targets from {float(values.min()):.3g} to {float(values.max()):.3g}, {share:.0%} out of reach",
            effect="these targets can never be predicted, however long it trains",
            fix=f"Remove {bend.name} after the last layer, or scale the targets into its range.",
        )
        return


def _residuals(view: View) -> Iterator[tuple[Fact, Fact]]:
    """Yield what compares a prediction with a target of the data: losses of torch's, and differences by hand."""
    for op in view.path:
        if op.name in RESIDUALS and len(op.inputs) > 1:
            one, two = op.inputs[:2]
        elif op.name in ("sub", "rsub") and op.module is None and len(op.inputs) == 2:
            one, two = op.inputs
        else:
            continue
        if op.module is not None and op.name not in SINKS:
            continue
        if WEIGHT not in view.came(one):
            one, two = two, one
        if WEIGHT in view.came(one) and WEIGHT not in view.came(two) and TARGET in view.came(two):
            yield one, two


def rates(subject: Subject) -> Iterator[Finding]:
    """Find a Poisson loss of rates that takes their logarithm, or of logarithms that takes rates."""
    view = seen(subject)
    if view is None:
        return
    for op in view.sinks("poisson_nll_loss"):
        low, _ = bounds(view, op.inputs[0])
        bend = activation(view, op.inputs[0])
        if bool(op.setting("log_input", 2, True)) and low >= 0 and bend is not None:
            place, line = view.place(bend)
            yield found(
                "poisson-log-input",
                place,
                "gives rates to PoissonNLLLoss, which by log_input=True takes their logarithm and exponentiates them",
                at=line,
                evidence=f"rates after exp cannot be below {torch.tensor(low).exp():g}",
                effect="small counts cannot be told, and large ones overflow",
                fix=f"Return the raw score without {bend.name}, or use PoissonNLLLoss(log_input=False).",
            )


def clamped_scores(subject: Subject) -> Iterator[Finding]:
    """Find raw scores that a loss clamps into 0..1 and takes the logarithm of, as if they were probabilities."""
    view = seen(subject)
    if view is None:
        return
    for op in view.path:
        low, high = op.setting("min", 1), op.setting("max", 2)
        if op.name not in ("clamp", "clip") or not isinstance(low, float) or not isinstance(high, float):
            continue
        if not (0 <= low < 0.05 and 0.95 < high <= 1) or WEIGHT not in view.came(op.inputs[0]):
            continue
        logs = [after for after in view.recording.users(op.outputs[0]) if after.name in ("log", "binary_cross_entropy")]
        least, most = bounds(view, op.inputs[0])
        if not logs or least >= 0 or most <= 1:
            continue
        given = tensor_of(op.inputs[0])
        cut = float(((given < low) | (given > high)).float().mean()) if given is not None else 0.0
        if cut < 0.1:
            continue
        place, line = view.place(op)
        yield found(
            "raw-scores-into-bce",
            place,
            "clamps raw scores (logits) into 0..1 as if they were probabilities: no sigmoid stands between the model's "
            "last layer and the logarithm",
            at=line or view.loss_line,
            evidence=f"scores from {op.inputs[0].low:.3g} to {op.inputs[0].high:.3g}; {cut:.0%} are cut off by the "
            "clamp and get no gradient",
            effect="samples beyond the clamp, the wrongest among them, teach nothing",
            fix="Use F.binary_cross_entropy_with_logits(scores, target), or torch.sigmoid(scores) before the clamp.",
        )
        return


RULES = (bce_fails, clamped_scores, negative_log_likelihood, unreachable_targets, rates)
