"""What the first weights do: units that stay equal, dead and saturated ones, an answer that is the same for all."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.recording import Fact, Op
from trainkit.inspection.source import Line
from trainkit.inspection.step.structure import LINEAR
from trainkit.inspection.step.trial import trained
from trainkit.inspection.step.view import INPUT, WEIGHT, View, seen, source, tensor_of
from trainkit.inspection.step.written import filling
from trainkit.inspection.subject import Subject, found

MIXING = LINEAR | frozenset(
    ["matmul", "mm", "bmm", "addmm", "einsum", "lstm", "gru", "rnn_tanh", "rnn_relu", "baddbmm", "rmatmul"]
)
BENDING = ("relu", "relu6", "threshold", "clamp_min")
DEAD, MANY = 0.95, 0.8
LARGE, RAISED, SEVERAL, FAR = 6.0, 2.2, 3, 8
"""Weight scale, as a gain of the layer's input, that is called large; one that is where several layers have it.

And the first loss, in losses of a guess, from which it is far."""


def equal_units(subject: Subject) -> Iterator[Finding]:
    """Find layers whose units start equal and stay so."""
    view = seen(subject)
    if view is None:
        return
    used = {fact.name for op in view.path if op.name in MIXING for fact in op.inputs if fact.name}
    suspects = [
        name
        for name, parameter in subject.model.named_parameters()
        if name in used and parameter.requires_grad and _equal(parameter) and view.gradients.get(name) is not None
    ]
    suspects = [name for name in suspects if _kept_equal(view, name) or _one_value(subject.model.get_parameter(name))]
    if not suspects:
        return
    trial = trained(subject, 3, quiet_mode=True)
    if trial is None:
        return
    after = dict(trial.model.named_parameters())
    stuck = [name for name in suspects if _equal(after[name]) or _one_value(subject.model.get_parameter(name))]
    if not stuck:
        return
    name = stuck[0]
    value = float(subject.model.get_parameter(name).detach().flatten()[0])
    place, line = filling(subject, name, constant=value) or (
        f"{name}: init",
        subject.where_built(name.rpartition(".")[0]),
    )
    yield found(
        "symmetric-init",
        place,
        f"gives all units of {name} the same start (constant initialisation), and nothing makes them differ",
        at=line,
        evidence=f"{', '.join(stuck[:4])}: all rows equal ({value:g} at first)"
        + (", and still so after 3 steps" if _equal(after[name]) else "; only the biases differ"),
        effect="by symmetry all units get the same gradient (or none) and stay one unit",
        fix="Initialise weights at random, e.g. nn.init.xavier_uniform_(m.weight); only biases may start at 0.",
    )


def _equal(parameter: Tensor) -> bool:
    """Say whether a weight has several rows, which are all the same."""
    values = parameter.detach()
    if values.dim() < 2 or values.shape[0] < 2 or values.numel() == 0:
        return False
    if not torch.allclose(values[0], values[1], rtol=1e-5, atol=1e-12):
        return False
    return bool(torch.isclose(values, values[:1], rtol=1e-5, atol=1e-12).all())


def _kept_equal(view: View, name: str) -> bool:
    """Say whether the first gradient leaves equal rows equal."""
    gradient = view.gradients[name]
    return gradient is not None and _equal(gradient)


def _one_value(parameter: Tensor) -> bool:
    """Say whether a weight that mixes several inputs is one number, other than 0, everywhere."""
    values = parameter.detach()
    return values.shape[1] > 1 and bool((values == values.flatten()[0]).all()) and bool(values.flatten()[0] != 0)


def dead_units(subject: Subject) -> Iterator[Finding]:
    """Find ReLUs of which (almost) no unit ever fires on the batch."""
    view = seen(subject)
    if view is None or view.size < 4:
        return
    for op in view.path:
        if op.name not in BENDING or op.module is None or not op.inputs or WEIGHT not in view.came(op.inputs[0]):
            continue
        values = tensor_of(op.outputs[0])
        if values is None or values.dim() < 2 or op.outputs[0].zeros < MANY:
            continue
        units = _units(op, values)
        share = float((units == 0).all(0).float().mean())
        if units.shape[1] < 4 or share < MANY or (share < DEAD and len(units) < 16):
            continue
        yield _dead(view, op, share, units.shape[1])
        return


def _units(op: Op, values: Tensor) -> Tensor:
    """Return values as (anything, units)."""
    made = source(op.inputs[0])[0]
    channels = values.dim() > 2 and made is not None and (made.name.startswith("conv") or "norm" in made.name)
    if channels and made is not None and made.name != "layer_norm":
        return values.transpose(1, -1).flatten(0, -2)
    return values.flatten(0, -2)


def _dead(view: View, op: Op, share: float, count: int) -> Finding:
    made = source(op.inputs[0])[0]
    place, line = view.place(op)
    cause = ""
    if made is not None and made.name in LINEAR and len(made.inputs) > 2:
        bias = tensor_of(made.inputs[2])
        scale = float((tensor_of(made.outputs[0]) - bias.mean()).std()) if bias is not None else 0.0  # type: ignore[operator]
        if bias is not None and made.inputs[2].name and float(bias.mean()) < -1.5 * max(scale, 1e-6):
            cause = f": the biases ({made.inputs[2].name}) start at {float(bias.mean()):.3g}"
            place, line = filling(view.subject, made.inputs[2].name, constant=float(bias.mean())) or (place, line)
    return found(
        "dead-units",
        place,
        f"leaves {share:.0%} of {count} ReLU units dead: they give 0 for every sample{cause}",
        severity="error" if share >= DEAD else "warning",
        at=line,
        evidence=f"{share:.0%} of the units of {op.module or 'the model'} are 0 on the whole batch",
        effect="a ReLU that never fires gets no gradient and stays dead",
        fix="Start biases at 0 and weights with kaiming_normal_, normalise the inputs, or use nn.LeakyReLU().",
    )


def saturated(subject: Subject) -> Iterator[Finding]:
    """Find sigmoids and tanhs whose inputs are so large that nothing passes back."""
    view = seen(subject)
    if view is None:
        return
    for op in view.path:
        if op.name not in ("sigmoid", "tanh") or op.module is None or WEIGHT not in view.came(op.inputs[0]):
            continue
        values = tensor_of(op.inputs[0])
        if values is None or values.numel() < 32 or not op.inputs[0].finite:
            continue
        flat, bent = (9.0, 6.0) if op.name == "sigmoid" else (5.0, 3.0)
        share = float((values.abs() > flat).float().mean())
        cause = _large_layer(view, op)
        if share < 0.75 and (cause is None or float((values.abs() > bent).float().mean()) < 0.6):
            continue
        place, line = cause or view.place(op)
        yield found(
            "saturated-units",
            place,
            f"{op.name} is saturated: its inputs are so large that its derivative is 0",
            severity="error" if share > 0.9 or cause is not None else "warning",
            at=line,
            evidence=f"{share:.0%} of its inputs (up to {float(values.abs().max()):.3g}) lie in the flat part",
            effect="gradients vanish and the layers before it hardly learn",
            fix="Use smaller initial weights (xavier_uniform_), normalise the inputs, or put a norm before it.",
        )
        return


def _large_layer(view: View, op: Op) -> tuple[str, Line | None] | None:
    made = source(op.inputs[0])[0]
    if made is None or made.name not in LINEAR or gain(made) < LARGE:
        return None
    return filling(view.subject, made.inputs[1].name, constant=None)


def gain(op: Op) -> float:
    """Return by how much a layer's weights make typical inputs larger."""
    weight = tensor_of(op.inputs[1]) if len(op.inputs) > 1 else None
    if weight is None or weight.dim() < 2:
        return 0.0
    into = weight[0].numel() if "transpose" not in op.name else weight.shape[0] * weight[0, 0].numel()
    return float(weight.norm()) / math.sqrt(weight.numel()) * math.sqrt(into)


def large_start(subject: Subject) -> Iterator[Finding]:
    """Find weights so large that the first loss is far above that of a guess."""
    view = seen(subject)
    if view is None:
        return
    layers = [op for op in view.path if op.name in LINEAR and len(op.inputs) > 1 and op.inputs[1].name]
    raised = [op for op in layers if gain(op) > RAISED and op.inputs[1].requires_grad and not _normed(view, op)]
    loud = raised if len(raised) >= SEVERAL else [op for op in raised if max(gain(op), _louder(op)) > LARGE]
    if not loud or (excess := _excess(view)) is None:
        return
    worst = max(loud, key=lambda op: max(gain(op), _louder(op)))
    tied = excess[0] < FAR and _is_tied(view, worst) and excess[0] > FAR / 2
    if excess[0] < FAR and not tied:
        return
    name = worst.inputs[1].name
    place, line = filling(subject, name, constant=None) or (
        f"{name}: init",
        subject.where_built(name.rpartition(".")[0]),
    )
    yield found(
        "init-too-large",
        place,
        f"starts the weights of {name} too large: the layer multiplies its input by about "
        f"{max(gain(worst), _louder(worst)):.0f}"
        + (" (the embedding, std 1, is tied to the output layer)" if tied else ""),
        severity="info" if line is None else "warning" if tied else "error",  # a library's start is nobody's slip
        at=line,
        evidence=f"{excess[1]}; {len(loud)} of {len(layers)} layers so",
        effect="activations and gradients explode, and training starts far off",
        fix="Use nn.init.kaiming_normal_ or xavier_uniform_ (std about 1 / sqrt(inputs of the layer)).",
    )


def _louder(op: Op) -> float:
    """Return by how much what a layer gives is larger than what it was given, as of weights that are all positive."""
    given, made = tensor_of(op.inputs[0]), tensor_of(op.outputs[0])
    if given is None or made is None or not op.inputs[1].finite or (op.inputs[1].low or 0.0) < 0:
        return 0.0
    return float(made.square().mean().sqrt() / given.square().mean().sqrt().clamp(min=1e-3))


def _is_tied(view: View, op: Op) -> bool:
    """Say whether an embedding reads the weights of a layer too."""
    name = op.inputs[1].name
    return any(fact.name == name for other in view.recording.of("embedding") for fact in other.inputs)


def _normed(view: View, op: Op) -> bool:
    readers = view.readers.get(op.outputs[0].number, [])
    return bool(readers) and all("norm" in reader.name for reader in readers)


def _excess(view: View) -> tuple[float, str] | None:
    """Return by how much the first loss is above a guess's, in words too."""
    for op in view.sinks("cross_entropy", "nll_loss"):
        low = op.outputs[0].low
        shape = op.inputs[0].shape
        if low is None or len(shape) < 2 or op.outputs[0].shape or op.setting("reduction", 6, "mean") != "mean":
            continue
        guess = math.log(max(2, shape[1]))
        if low > 3 * guess:
            return (
                low / guess,
                f"initial loss {low:.3g}, and a guess among {shape[1]} classes gives ln {shape[1]} = {guess:.3g}",
            )
    for op in view.sinks("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy_with_logits"):
        one, two = tensor_of(op.inputs[0]), tensor_of(op.inputs[1])
        if one is None or two is None:
            continue
        size = float(one.pow(2).mean().sqrt()) / max(float(two.pow(2).mean().sqrt()), 1e-3)
        if size > 20:
            return size, f"the first outputs are {size:.0f} times as large as the targets"
    return None


def same_answer(subject: Subject) -> Iterator[Finding]:
    """Find a model that answers the same to every sample, and goes on so."""
    view = seen(subject)
    if view is None or view.size < 4 or subject.train_step is not None:
        return
    if (
        not view.outputs
        or not all(_constant(view, fact) for fact in view.outputs[:1])
        or _constant(view, view.inputs[0])
    ):
        return
    trial = trained(subject, 3)
    if trial is None or not trial.finite:
        return
    with subject.scratch():
        after = subject.forward(trial.model, subject.batch)
    if not isinstance(after, Tensor) or bool(((after - after[:1]).abs() > 1e-7 * (1 + after.abs())).any()):
        return
    culprit = _flattener(view)
    place, line = view.place(culprit) if culprit is not None else ("model: output", subject.where_made(subject.model))
    yield found(
        "output-ignores-input",
        place,
        "makes the output the same for every sample: nothing of the input reaches it",
        at=line,
        evidence=f"{view.size} samples, one output; still so after 3 steps",
        effect="the model can learn no more than the mean of the targets",
        fix="Look at what this operation averages, cuts or multiplies by 0.",
    )


def _constant(view: View, fact: Fact) -> bool:
    values = tensor_of(fact)
    if values is None or values.dim() < 1 or values.shape[0] != view.size or not fact.finite:
        return False
    return not bool(((values - values[:1]).abs() > 1e-7 * (1 + values.abs())).any())


def _flattener(view: View) -> Op | None:
    """Return the first operation that loses the differences between samples."""
    for op in view.path:
        live = [fact for fact in op.inputs if INPUT in view.came(fact)]
        if op.module is None or not live or not _constant(view, op.outputs[0]):
            continue
        if not any(_constant(view, fact) for fact in live):
            return op
    return None


RULES = (equal_units, dead_units, saturated, large_start, same_answer)
