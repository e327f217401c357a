"""The learning rate and its companions: each is judged by what a short training with another value does."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from typing import Any

from trainkit.findings import Finding, Severity
from trainkit.inspection.source import Line, code_of, tree, unparse, walk
from trainkit.inspection.step.trial import Trial, settings, small, steps_ahead, trained
from trainkit.inspection.step.view import View, seen
from trainkit.inspection.step.written import setting_line
from trainkit.inspection.subject import Subject, found

SHORT, LONG = 15, 40
"""Steps of a first trial and of one that confirms."""
MOVES = 0.3
"""Share of their size that weights move in a training that can learn something."""
TINY, STILL = 1e-5, 1e-3
"""A rate that is small for any optimizer, and a share of their size by which weights move without learning."""
JUMP = 5.0
"""Multiple of the first loss that a good rate never reaches."""
SPELT = {
    "lr": ("learning_rate", "learningrate", "rate", "l_r", "base_lr", "initial_rate"),
    "weight_decay": ("decay", "wd", "weightdecay", "l2", "weight_dacay", "weights_decay"),
    "momentum": ("mom", "momentun", "momemtum"),
    "betas": ("beta", "beta1", "beta2"),
}
"""Settings, and by which other names people give them."""
LOWER, HIGHER = (0.1, 0.01, 0.001), (100.0, 1e4, 1e6)
"""Other rates that are tried, as parts of the user's."""


def learning_rate(subject: Subject) -> Iterator[Finding]:
    """Train copies with the rate as it is, and with others where it does not help."""
    view = seen(subject)
    if view is None or not subject.optimizers or subject.train_step is not None:
        return
    rates = [float(group["lr"]) for _, group in settings(subject)]
    if not all(rate > 0 for rate in rates) or not all(loss.finite for loss in view.losses):
        return
    if any(group.get("maximize") for _, group in settings(subject)) or _silent(view) or not small(subject, SHORT):
        return
    trial = trained(subject, SHORT)
    if trial is None or math.isnan(trial.before) or (_fell(trial) > 0.03 and not _jumped(trial)):
        return
    if trial.finite:
        trial = trained(subject, LONG)
        if trial is None or (_fell(trial) > 0.03 and not _jumped(trial)):
            return
    rate = max(rates)
    yield from _too_large(subject, trial, rate)
    if trial.finite and abs(trial.before - trial.after) < 0.01 * abs(trial.before):
        yield from _too_small(subject, trial, rate)


def _silent(view: View) -> bool:
    return not any(view.slopes.values())


def _jumped(trial: Trial) -> bool:
    """Say whether the loss was far above the first one on the way."""
    return max(trial.losses) > JUMP * abs(trial.before)


def _astray(trial: Trial) -> bool:
    """Say whether the loss was above twice the first one most of the time."""
    return sum(trial.losses) / len(trial.losses) > 2 * abs(trial.before)


def _fell(trial: Trial) -> float:
    """Return by which share the loss fell, on the first batch or over the batches, whichever is more."""
    if not trial.finite:
        return -math.inf
    return (trial.before - trial.end) / max(abs(trial.before), 1e-8)


def _too_large(subject: Subject, trial: Trial, rate: float) -> Iterator[Finding]:
    steps = min(LONG, max(SHORT, len(trial.losses)))
    tried = [(factor, other) for factor in LOWER if (other := trained(subject, steps, factor=factor)) is not None]
    good = [(factor, other) for factor, other in tried if _fell(other) > 0.03 and not _jumped(other)]
    for factor, other in sorted(good, key=lambda pair: pair[1].end)[:1]:
        worse = not trial.finite or trial.end > 1.25 * trial.before
        gap = trial.end - other.end if trial.finite else math.inf
        lost = worse and (not trial.finite or trial.end > 3 * abs(trial.before))
        stuck = not worse and gap > 0.6 * abs(trial.before)
        if not (lost or stuck or _astray(trial)):
            continue
        end = f"{trial.end:.3g}" if trial.finite else "NaN or infinite"
        view = seen(subject)
        summed = [op for op in view.sinks() if op.setting("reduction", 99) == "sum"] if view is not None else []
        why = ", and reduction='sum' makes it that of one sample times the batch size" if summed else ""
        yield found(
            "learning-rate-too-large",
            "optimizer: lr",
            f"is too large: with lr={rate:g} the loss {'diverges' if worse else 'jumps up'}{why}",
            at=setting_line(subject, "lr"),
            evidence=f"loss {trial.before:.3g} to {end} in {len(trial.losses)} steps; "
            f"with lr={rate * factor:g} it falls to {other.end:.3g}",
            effect="the loss jumps up in the first steps and does not come back",
            fix=f"Use a learning rate near {rate * factor:g}.",
        )


def _too_small(subject: Subject, trial: Trial, rate: float) -> Iterator[Finding]:
    moved = abs(trial.before - trial.after) / max(abs(trial.before), 1e-8)
    whole = moved / len(trial.losses) * steps_ahead(subject)
    if whole > 0.05 or trial.moved / len(trial.losses) * steps_ahead(subject) > MOVES:
        return
    for factor in HIGHER:
        other = trained(subject, LONG, factor=factor)
        if other is None or not other.finite or other.after > 0.95 * trial.before or _jumped(other):
            continue
        yield found(
            "learning-rate-too-small",
            "optimizer: lr",
            f"is too small: with lr={rate:g} the loss hardly moves",
            severity="error" if whole < 0.02 else "warning",
            at=setting_line(subject, "lr"),
            evidence=f"loss {trial.before:.5g} to {trial.end:.5g} in {len(trial.losses)} steps "
            f"(about {whole:.1%} in all of the training); with lr={rate * factor:g} it falls to {other.end:.3g}",
            effect="nothing is learnt in the time that it has",
            fix=f"Use a learning rate near {rate * factor:g}.",
        )
        return
    far = trial.moved / len(trial.losses) * steps_ahead(subject)
    if rate < TINY and far < STILL:
        yield found(
            "learning-rate-too-small",
            "optimizer: lr",
            f"is too small: with lr={rate:g} the weights stay where they are",
            at=setting_line(subject, "lr"),
            evidence=f"weights move by {trial.moved:.1g} of their size in {len(trial.losses)} steps, by {far:.1g} in "
            "all of the training",
            effect="nothing is learnt in the time that it has",
            fix="Use a learning rate near 1e-3 (Adam) or 1e-1 (SGD).",
        )


def companions(subject: Subject) -> Iterator[Finding]:
    """Find settings of an optimizer that make no sense."""
    for optimizer, group in settings(subject):
        for name, message, severity, fix in _odd(type(optimizer).__name__, group, bool(subject.schedulers)):
            part = _part_of(subject, group) if len(optimizer.param_groups) > 1 else ""
            yield found(
                "optimizer-setting",
                f"optimizer: {name}{part and f' of {part}'}",
                message.replace("nothing is trained", f"{part} is never trained") if part else message,
                severity=severity,
                at=_group_line(subject, name, part) or _line(subject, name),
                evidence=f"{name}={group[name]}",
                effect="the weights do not follow the gradient",
                fix=fix,
            )
            return


def _line(subject: Subject, name: str) -> Line | None:
    return setting_line(subject, name)


def unknown_settings(subject: Subject) -> Iterator[Finding]:
    """Find settings of a group that its optimizer does not know by this name, and takes without a word."""
    for optimizer, group in settings(subject):
        for name in group:
            meant = next((real for real, others in SPELT.items() if name.lower().replace("-", "_") in others), None)
            if name in optimizer.defaults or meant is None or meant not in optimizer.defaults:
                continue
            yield found(
                "optimizer-setting",
                f"optimizer: {name}",
                f"has no effect: {type(optimizer).__name__} knows {meant}, and takes any other name without a word",
                at=_key_line(subject, name),
                evidence=f"{name}={group[name]} is ignored, {meant}={group[meant]} is used",
                effect="this group is trained with the settings of the others",
                fix=f'Write "{meant}": {group[name]}.',
            )
            return


def _key_line(subject: Subject, name: str) -> Line | None:
    """Return the line that writes a group's key."""
    for file in subject.files:
        whole = tree(file)
        for node in walk(whole) if whole is not None else ():
            if isinstance(node, ast.Dict) and any(getattr(key, "value", None) == name for key in node.keys):
                return Line(
                    file, next(k.lineno for k in node.keys if k is not None and getattr(k, "value", "") == name)
                )
    return setting_line(subject, name)


def safeguard(subject: Subject) -> Iterator[Finding]:
    """Find an eps of an adaptive optimizer that is far above the gradients that it divides by."""
    view = seen(subject)
    if view is None or not view.slopes:
        return
    count = sum(gradient.numel() for gradient in view.gradients.values() if gradient is not None)
    typical = math.sqrt(sum(slope**2 for slope in view.slopes.values()) / max(count, 1))
    for optimizer, group in settings(subject):
        eps = group.get("eps")
        adaptive = "Adam" in type(optimizer).__name__ or type(optimizer).__name__ == "RMSprop"
        if not adaptive or not isinstance(eps, int | float) or not 0 < typical < eps / 10 or eps < 1e-3:
            continue
        yield found(
            "optimizer-setting",
            "optimizer: eps",
            f"is {eps / typical:.0f} times as large as a typical gradient: {type(optimizer).__name__} no longer adapts",
            severity="warning",
            at=setting_line(subject, "eps"),
            evidence=f"eps={eps:g}, gradients of about {typical:.2g}",
            effect=f"updates are those of SGD with a rate of lr / eps = {float(group['lr']) / eps:.2g}",
            fix="Use eps=1e-8 (1e-6 in half precision).",
        )
        return


def _part_of(subject: Subject, group: dict[str, Any]) -> str:
    """Return the part of the model that a group of parameters is."""
    held = {id(parameter) for parameter in group["params"]}
    paths = [name for name, parameter in subject.model.named_parameters() if id(parameter) in held]
    first = {path.split(".")[0] for path in paths}
    return first.pop() if len(first) == 1 else f"{len(paths)} parameters"


def _group_line(subject: Subject, name: str, part: str) -> Line | None:
    """Return the line of the dictionary that makes the group of a part and sets something in it."""
    code = code_of(subject.make_optimizer) if subject.make_optimizer is not None and part else None
    for node in walk(code.node) if code is not None else ():
        keys = [getattr(key, "value", None) for key in node.keys] if isinstance(node, ast.Dict) else []
        if name in keys and part in unparse(node) and code is not None:
            return code.line(node)
    return None


def _odd(kind: str, group: dict[str, Any], scheduled: bool) -> Iterator[tuple[str, str, Severity, str]]:
    momentum, betas = group.get("momentum", 0.0), group.get("betas")
    if isinstance(momentum, float | int) and kind in ("SGD", "RMSprop"):
        if momentum >= 1:
            yield (
                "momentum",
                "never forgets: at 1 or more, old gradients add up without end",
                "error",
                "Use momentum=0.9.",
            )
        elif momentum > 0 and group.get("dampening", 0) >= 1:
            yield (
                "dampening",
                "is 1: the momentum keeps the first gradient, and no later one ever enters (dampening is for momentum)",
                "error",
                "Leave dampening out (0).",
            )
        elif momentum > 0.995:
            yield "momentum", "averages over more than 200 steps: it overshoots", "warning", "Use momentum=0.9."
    if isinstance(betas, tuple | list) and len(betas) == 2 and "Adam" in kind:
        if betas[0] > betas[1]:
            yield (
                "betas",
                "are swapped: the first is for the gradient, the second (nearer to 1) for its square",
                "error",
                (f"Use betas=({min(betas):g}, {max(betas):g})."),
            )
        elif betas[0] > 0.995:
            yield "betas", "average the gradient over more than 200 steps", "warning", "Use betas=(0.9, 0.999)."
    rate = group.get("lr")
    if isinstance(rate, float | int) and rate == 0 and not scheduled and not group.get("initial_lr"):
        yield "lr", "is 0: nothing is trained", "error", "Give a learning rate, such as 1e-3."


def decay(subject: Subject) -> Iterator[Finding]:
    """Find weight decay that is stronger than the gradient and shrinks the weights in few steps."""
    view = seen(subject)
    if view is None:
        return
    names = {id(parameter): name for name, parameter in subject.model.named_parameters()}
    for optimizer, group in settings(subject):
        share = group.get("weight_decay", 0.0)
        if not isinstance(share, float | int) or share <= 0 or not group["lr"]:
            continue
        pairs = [(p.detach().float(), view.gradients.get(names.get(id(p), ""))) for p in group["params"] if p.dim() > 1]
        held = [(weight, gradient.float()) for weight, gradient in pairs if gradient is not None]
        if not held:
            continue
        weight = math.sqrt(sum(float(w.norm()) ** 2 for w, _ in held))
        slope = math.sqrt(sum(float(g.norm()) ** 2 for _, g in held))
        count = sum(w.numel() for w, _ in held)
        apart = type(optimizer).__name__ == "AdamW" or group.get("decoupled_weight_decay", False)
        pull = share * weight / math.sqrt(count) * 2 if apart else share * weight / max(slope, 1e-12)
        steps = 1 / (float(group["lr"]) * float(share))
        adaptive = not apart and "Adam" in type(optimizer).__name__
        if adaptive:
            steps = weight / math.sqrt(count) / float(group["lr"])
        if slope == 0 or not math.isfinite(slope) or pull < 1.5 or steps > steps_ahead(subject):
            continue
        yield found(
            "weight-decay-dominates",
            "optimizer: weight_decay",
            "is so strong that it outweighs the gradient",
            severity="error" if (pull > 3 and not adaptive) or apart else "warning",
            at=setting_line(subject, "weight_decay"),
            evidence=f"weight_decay={share:g} pulls {pull:.2g} times as hard as the gradient, "
            f"and shrinks the weights in {steps:.0f} steps",
            effect="the weights go to 0 and the model forgets what it learns",
            fix="Use weight_decay=1e-4 (SGD) or 1e-2 (AdamW).",
        )
        return


RULES = (learning_rate, companions, unknown_settings, safeguard, decay)
