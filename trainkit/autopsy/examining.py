"""The autopsy itself: a step is taken once more under a trace, and nothing is left of it but what it tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trainkit.autopsy.numbers import Numbers, bad_rows, is_finite
from trainkit.autopsy.report import Autopsy, of_origin
from trainkit.autopsy.step import Step, modules_beside, tensors_in
from trainkit.autopsy.tracing import Origin, Trace

UNKNOWN = (
    "taken once more, the step has finite numbers only: it is not the same twice, or a callback changed a gradient"
)


def examined(step: Step, optimizer: Optimizer | None = None) -> Autopsy:
    """Take a step once more and say where its first bad number comes from; everything is left as it was.

    Args:
        step: The one that had a loss or a gradient that is not finite.
        optimizer: Whose state is looked at where the weights were bad before the step.
    """
    model = step.model
    roots = {"": model, **modules_beside(step.objective)}
    with step.untouched():
        known = _known(step)
        trace = Trace(known)
        with trace.watching(roots):
            found, number = _first(step, trace)
        if found is None:
            return _too_large(model) or Autopsy("unknown", UNKNOWN)
        samples = step.samples[number] if number < len(step.samples) else []
        if found.kind == "weights":
            return _of_weights(found, known, model, optimizer)
        return of_origin(found, samples, _weights_of(found.place.module, roots))


def looked_at(step: Step) -> Autopsy:
    """Say whether the data or the weights of a step are bad, without taking it again: no code of a user's runs."""
    for kind, name, tensor in _known(step):
        if kind != "buffers" and not is_finite(tensor):
            origin = Origin(kind, name, output=Numbers.of(tensor, name), rows=bad_rows(tensor))
            number = int(name.split("[")[0].removeprefix("batch") or 0) if kind == "data" else 0
            return of_origin(origin, step.samples[number] if number < len(step.samples) else [], [])
    return Autopsy("unknown", "data and weights are finite, and the replay tells where it comes from")


def _known(step: Step) -> list[tuple[str, str, Tensor]]:
    """Return the tensors that are there before the step."""
    many = len(step.batches) > 1
    known: list[tuple[str, str, Tensor]] = [("weights", name, weight) for name, weight in step.model.named_parameters()]
    known += [("buffers", name, buffer) for name, buffer in step.model.named_buffers()]
    for number, batch in enumerate(step.batches):
        prefix = f"batch {number}" if many else "batch"
        known += [("data", path, tensor) for path, tensor in tensors_in(batch, prefix).items()]
    return known


def _first(step: Step, trace: Trace) -> tuple[Origin | None, int]:
    """Return the origin of the first bad loss or gradient of the window, and the number of its batch."""
    counts: list[Any] = []
    for number in range(len(step.batches)):
        with trace:
            output = step.forward_pass(number)
        counts.append(output.count)
        if not is_finite(output.loss):
            return trace.origin(output.loss) or Origin("operation", "the loss"), number
        if step.precision.scaler is not None:  # gradients may overflow, which is the scaler's business
            continue
        with trace:
            step.backward_pass(output, counts[0])
        if found := _origin_of_gradients(step.model, trace):
            return found, number
    if counts and step.precision.scaler is None:
        with trace:
            step.divide(counts)
        return _origin_of_gradients(step.model, trace), len(step.batches) - 1
    return None, 0


def _origin_of_gradients(model: nn.Module, trace: Trace) -> Origin | None:
    bad = [p.grad for p in model.parameters() if p.grad is not None and not is_finite(p.grad)]
    origins = [origin for gradient in bad if (origin := trace.origin(gradient)) is not None]
    first = min(origins, key=lambda origin: origin.number, default=None)
    return first or (Origin("operation", "a gradient", phase="backward") if bad else None)


def _weights_of(path: str, roots: Mapping[str, nn.Module]) -> list[Numbers]:
    """Return the numbers of a module's own parameters."""
    for root, model in roots.items():
        inner = path.removeprefix(f"{root}.") if root else path
        if path and path.startswith(root) and inner in (modules := dict(model.named_modules())):
            own = modules[inner].named_parameters(recurse=False)
            return [Numbers.of(weight, f"{path}.{name}") for name, weight in own]
    return []


def _of_weights(
    found: Origin, known: list[tuple[str, str, Tensor]], model: nn.Module, optimizer: Optimizer | None
) -> Autopsy:
    """Say of weights that were bad before the step which they are, and what the optimizer has to do with it."""
    bad = [(name, weight) for kind, name, weight in known if kind == "weights" and not is_finite(weight)]
    told = of_origin(found, [], [])
    told.numbers = [Numbers.of(weight, name) for name, weight in bad]
    of_many = f", and {len(bad) - 1} more of {len(list(model.parameters()))} parameters" if len(bad) > 1 else ""
    told.first = f"the weights {found.name}{of_many}, which were so before the step"
    told.why = "the update of the step before made them so"
    told.fix = "a smaller optimizer.lr, or trainer.gradient_clip_val=1.0"
    if optimizer is None:
        return told
    used = sorted({float(group["lr"]) for group in optimizer.param_groups})
    told.why += f" (lr {', '.join(f'{rate:.3g}' for rate in used)})"
    states = [
        (f"{key} of {name}", value)
        for name, weight in bad
        for key, value in optimizer.state.get(weight, {}).items()
        if isinstance(value, Tensor) and (not is_finite(value) or ("sq" in key and bool((value < 0).any())))
    ]
    rates = [group for group in optimizer.param_groups if not is_finite(torch.as_tensor(float(group["lr"])))]
    if states or rates:
        told.kind = "optimizer"
        what = f"its {states[0][0]}" if states else f"its rate, lr {float(rates[0]['lr'])}"
        told.why = f"the state of the optimizer ({type(optimizer).__name__}) made them so: {what} is not as it can be"
        told.numbers = [Numbers.of(value, name) for name, value in states] + told.numbers
        told.fix = "whoever writes to the optimizer's state or rate, a callback or a train_step, is where to look"
    return told


def _too_large(model: nn.Module) -> Autopsy | None:
    """Say whether the gradients, each finite, have a norm that is not."""
    norms = {
        name: torch.linalg.vector_norm(parameter.grad.detach())
        for name, parameter in model.named_parameters()
        if parameter.grad is not None and parameter.grad.layout is torch.strided
    }
    if not norms or bool(torch.linalg.vector_norm(torch.stack([norm.float() for norm in norms.values()])).isfinite()):
        return None
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    largest = max(norms, key=lambda name: float(norms[name]))
    numbers = [Numbers.of(gradients[largest], f"gradient of {largest}")]  # type: ignore[arg-type]
    first = f"each gradient is finite, but their norm is too large for float32; the largest is that of {largest}"
    return Autopsy(
        "norm", first, fix="a smaller loss, normalisation, or a bounded activation", module=largest, numbers=numbers
    )
