"""Normalising flows: the log-determinant of the Jacobian, held against that of the transformation itself."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.recording import Recording, facts_of, recorded
from trainkit.inspection.source import Line, tree, walk
from trainkit.inspection.step.terms import where
from trainkit.inspection.step.view import INPUT, WEIGHT, View, seen
from trainkit.inspection.subject import Subject, found, unpacked

NAMES = re.compile(r"log_?(abs)?_?det|ldj|jacob|sldj|det_?j|delta_?logp")
"""How people call a log-determinant."""
WIDEST = 32
"""Dimensions up to which a Jacobian is taken."""
TRIALS = 6
"""Sets of weights, the user's moved a little, on which the loss is held against the likelihood."""
NUMBER = 8
"""Samples whose Jacobian is taken."""
EXACT = 5e-3
"""Relative error up to which a fit is exact."""


@dataclass(slots=True)
class Trial:
    """Loss, mean energy of the latents and mean log-determinant, with one set of weights."""

    loss: float
    energy: float
    volume: float
    claimed: float | None
    """Mean of the model's second output."""


def log_determinant(subject: Subject) -> Iterator[Finding]:
    """Find a likelihood of a flow that leaves the log-determinant out, takes it off, or has another one."""
    view = seen(subject)
    if view is None or subject.train_step is not None or not _speaks_of_it(subject):
        return
    x = view.inputs[0] if len(view.inputs) == 1 else None
    if x is None or len(x.shape) != 2 or x.shape[1] > WIDEST or not x.dtype.is_floating_point:
        return
    trials = [trial for seed in range(TRIALS) if (trial := _tried(subject, seed)) is not None]
    if len(trials) < TRIALS:
        return
    table = torch.tensor([[t.energy, t.volume, 1.0] for t in trials], dtype=torch.float64)
    goal = torch.tensor([t.loss for t in trials], dtype=torch.float64)
    if float(table[:, 1].std()) < 1e-4:
        return  # it keeps volumes
    fit = torch.linalg.lstsq(table, goal[:, None]).solution[:, 0]
    rest = float((table @ fit - goal).norm() / (goal - goal.mean()).norm().clamp(min=1e-12))
    weight, volume = float(fit[0]), float(fit[1])
    place, line = _at(view)
    if rest < EXACT and weight > 0 and abs(volume / weight + 1) < 0.02:
        return
    if rest < EXACT and weight > 0 and abs(volume) < 0.02 * weight:
        what = "leaves the log-determinant (log_det) of the Jacobian out: the change of variables needs log p(z) + "
        what += "log |det dz/dx|, and without it the flow shrinks everything to a point"
    elif rest < EXACT and weight > 0 and abs(volume / weight - 1) < 0.02:
        what = "has the log-determinant (log_det) of the Jacobian with the wrong sign: log p(x) = log p(z) + "
        what += "log |det dz/dx|, and it is subtracted"
    else:
        if not _claims_another(trials):
            return
        path = _wrong_layer(subject)
        place, line = _claimed_at(view, path)
        what = "gives a log-determinant (log_det) that is not that of its transformation (change of variables): "
        what += "layers are left out of the sum" if path is None else "wrong sign, or a wrong term"
    yield found(
        "log-determinant",
        place,
        what,
        at=line or view.loss_line,
        evidence=f"Jacobian of {NUMBER} samples by autograd: log |det| {trials[0].volume:.4g} on average"
        + (f", and the model gives {trials[0].claimed:.4g}" if trials[0].claimed is not None else ""),
        effect="what is minimised is no negative log-likelihood, and densities do not integrate to 1",
        fix="loss = -(log_prior(z) + log_det).mean(), log_det the sum over all layers",
    )


def _speaks_of_it(subject: Subject) -> bool:
    """Say whether a name in the user's code is that of a log-determinant."""
    for file in subject.files:
        whole = tree(file)
        for node in walk(whole) if whole is not None else ():
            name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
            if name and NAMES.search(name.lower()):
                return True
    return False


def _tried(subject: Subject, seed: int) -> Trial | None:
    """Take loss, latents and Jacobian with weights that are moved a little; None if that cannot be done."""
    with subject.scratch(seed=seed) as scratch:
        model = scratch.model
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_((0.05 + 0.2 * parameter.abs().mean()) * torch.randn_like(parameter))
        batch = subject.collated(subject.samples(NUMBER))
        inputs, target = unpacked(batch)
        point = inputs[0].detach().clone().requires_grad_()
        given = (point, target) if target is not None else (point,)
        model.eval()
        recording, ran, error = subject.rerun(scratch, given)
        if error is not None or not isinstance(ran.loss, Tensor) or ran.loss.numel() != 1:
            return None
        latent = _latent(recording, point)
        volume = _volume(latent, point) if latent is not None else None
        if latent is None or volume is None:
            return None
        ends = [recording.keep[fact.number] for fact in facts_of(recording, ran.outputs)]
        claims = [item for item in ends if item.numel() == len(point)]
        claimed = float(claims[0].mean()) if len(claims) == 1 and len(ends) == 2 else None
        return Trial(float(ran.loss), float(latent.detach().square().sum(1).mean() / 2), volume, claimed)


def _latent(recording: Recording, point: Tensor) -> Tensor | None:
    """Return the last tensor of the model of the inputs' shape: what it gives, or squares for its log-likelihood."""
    squared = [op for op in recording.ops if op.name in ("pow", "square", "mul") and op.inputs]
    for op in squared[::-1]:
        alike = op.name != "mul" or (len(op.inputs) == 2 and op.inputs[0] is op.inputs[1])
        tensor = recording.keep[op.inputs[0].number]
        if alike and tensor.shape == point.shape and tensor.requires_grad:
            return tensor
    return None


def _volume(latent: Tensor, point: Tensor) -> float | None:
    """Return the mean over samples of log |det| of the Jacobian."""
    rows = []
    for column in range(latent.shape[1]):
        (row,) = torch.autograd.grad(latent[:, column].sum(), point, retain_graph=True, allow_unused=True)
        if row is None:
            return None
        rows.append(row)
    value = torch.linalg.slogdet(torch.stack(rows, 1).double()).logabsdet.mean()
    return float(value) if bool(torch.isfinite(value)) else None


def _claims_another(trials: list[Trial]) -> bool:
    """Say whether the loss takes the model's second output for the log-determinant, and that it is not."""
    claims = [trial.claimed for trial in trials if trial.claimed is not None]
    if len(claims) < len(trials):
        return False
    claimed, volume, energy, goal = (
        torch.tensor(values, dtype=torch.float64)
        for values in (claims, [t.volume for t in trials], [t.energy for t in trials], [t.loss for t in trials])
    )
    if float((claimed - volume).abs().max()) < 0.02 * max(1.0, float(volume.abs().max())):
        return False
    table = torch.stack([energy, claimed, torch.ones_like(claimed)], 1)
    fit = torch.linalg.lstsq(table, goal[:, None]).solution[:, 0]
    rest = float((table @ fit - goal).norm() / (goal - goal.mean()).norm().clamp(min=1e-12))
    return rest < EXACT and bool(fit[0] > 0) and abs(float(fit[1] / fit[0]) + 1) < 0.02


def _wrong_layer(subject: Subject) -> str | None:
    """Return the path of the first layer whose log-determinant is not that of its own Jacobian."""
    with subject.scratch() as scratch:
        batch = subject.collated(subject.samples(NUMBER))
        point = unpacked(batch)[0][0].detach().clone().requires_grad_()
        model = scratch.model
        model.eval()
        recording, _, error = recorded(model, lambda: model(point), values=False, gradients=False)
        for call in recording.calls if error is None else ():
            tensors = [recording.keep[fact.number] for fact in (*call.inputs[:1], *call.outputs)]
            if not call.path or len(tensors) != 3 or tensors[1].shape != tensors[0].shape != tensors[2].shape:
                continue
            given, made, claim = tensors
            volume = _volume(made, given) if given.dim() == 2 and given.requires_grad else None
            each = volume is not None and claim.numel() in (1, len(given))
            if volume is not None and each and abs(float(claim.mean()) - volume) > 0.02 * max(1.0, abs(volume)):
                return call.path
    return None


def _claimed_at(view: View, path: str | None) -> tuple[str, Line | None]:
    """Return the class whose forward makes a log-determinant, and the line that makes it."""
    owner = view.model.get_submodule(path or "")
    call = next((item for item in view.recording.calls if item.path == (path or "")), None)
    ends = [fact for fact in call.outputs if len(fact.shape) < 2] if call is not None else []
    op = ends[0].maker if ends else None
    while op is not None and op.name in ("expand", "repeat", "squeeze", "view", "reshape") and op.inputs[0].maker:
        op = op.inputs[0].maker
    line = op.line if op is not None else view.subject.where_made(owner)
    if op is not None and op.module != (path or ""):
        line = next((item.line for item in view.recording.calls if item.path == op.module), line)
    return f"{type(owner).__name__}.forward: log_det", line


def _at(view: View) -> tuple[str, Line | None]:
    """Return the last operation of the loss on something of each sample, as the user wrote it."""
    for op in reversed(view.path):
        if op.module is None and op.own and op.inputs and view.came(op.inputs[0]) >= {INPUT, WEIGHT}:
            return where(view, op, "log_det")
    return "loss: log_det", view.loss_line


RULES = (log_determinant,)
