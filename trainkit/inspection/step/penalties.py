"""Penalties beside a loss: whether they have a gradient, are taken of each sample, and can be lowered at all."""

from __future__ import annotations

from collections.abc import Iterator

from trainkit.findings import Finding
from trainkit.inspection.recording import Fact, Op
from trainkit.inspection.step.terms import CUTS, SUMS, where
from trainkit.inspection.step.view import INPUT, TARGET, WEIGHT, View, seen
from trainkit.inspection.subject import Subject, found

NORMS = ("norm", "vector_norm", "linalg_vector_norm")


def without_graph(subject: Subject) -> Iterator[Finding]:
    """Find a term of the loss that was computed without autograd: under no_grad, or of a gradient without a graph."""
    view = seen(subject)
    if view is None:
        return
    for loss in view.losses:
        for term in _added(loss):
            if term.requires_grad or not view.came(term) >= {WEIGHT} or term.maker is None:
                continue
            before = view.recording.ancestors(term)
            grads = [op for op in before if op.name == "grad" and not any(fact.requires_grad for fact in op.outputs)]
            if (cut := _of_weights_alone(view, term, before)) is not None:
                yield _penalty_cut(view, cut)
                return
            blind = [op for op in before if not op.grad_enabled and _breaks(view, op)]
            if not grads and (not blind or any(op.name in ("detach", "item", "data") for op in before)):
                continue
            op = grads[0] if grads else blind[-1]
            place, line = where(view, op, "autograd.grad" if grads else op.name)
            yield found(
                "penalty-without-graph",
                place,
                "is computed without create_graph=True: the gradient penalty is a constant, it has no gradient itself "
                "(a second derivative is needed)"
                if grads
                else "is computed under torch.no_grad() from the model's outputs, and added to the loss: this term has "
                "no gradient",
                at=op.line or line or view.loss_line,
                evidence=f"the term is {term.low:.4g} and does not require a gradient"
                if term.low is not None
                else "the term does not require a gradient",
                effect="the penalty is added to the figure and trains nothing",
                fix="torch.autograd.grad(scores.sum(), x, create_graph=True)[0]"
                if grads
                else "Freeze the network with requires_grad_(False), and call it with autograd on for the outputs.",
            )
            return


def _of_weights_alone(view: View, term: Fact, before: list[Op]) -> Op | None:
    """Return where a term that hangs on nothing but the weights is cut off from them."""
    if view.came(term) & {INPUT, TARGET}:
        return None
    cuts = [op for op in before if op.name in CUTS or not op.grad_enabled]
    return next((op for op in cuts if any(fact.name and fact.requires_grad for fact in op.inputs)), None)


def _penalty_cut(view: View, cut: Op) -> Finding:
    how = {"data": ".data", "detach": ".detach()"}.get(cut.name, cut.name) if cut.grad_enabled else "torch.no_grad()"
    place, line = where(view, cut, how)
    return found(
        "penalty-without-graph",
        place,
        f"is a penalty on the weights that is computed with {how}: added to the loss, it is a constant without a "
        "gradient, cut off from the graph",
        at=cut.line or line or view.loss_line,
        evidence="the term hangs on the weights alone and does not require a gradient",
        effect="the penalty is added to the figure and regularises nothing",
        fix="Compute it from the parameters themselves, such as p.abs().sum(), with autograd on",
    )


def derivative_without_graph(subject: Subject) -> Iterator[Finding]:
    """Find a derivative in the inputs that goes into the loss without a graph of its own."""
    view = seen(subject)
    if view is None:
        return
    for op in view.path:
        if op.name != "grad" or len(op.inputs) < 2 or any(fact.requires_grad for fact in op.outputs):
            continue
        if any(fact.name for fact in op.inputs[1:]) or WEIGHT not in view.came(op.inputs[0]):
            continue
        before = view.recording.ancestors(op.inputs[0])
        if not any(fact.name and fact.requires_grad for made in before for fact in made.inputs):
            continue  # of a frozen network, as a target
        if not _is_judged(view, op):
            continue
        place, line = where(view, op, "autograd.grad")
        yield found(
            "penalty-without-graph",
            place,
            "takes a derivative without create_graph=True, and the loss is computed from it: no gradient goes through "
            "this derivative to the weights",
            at=op.line or line,
            evidence="the derivative does not require a gradient",
            effect="the weights are not trained by what the loss asks of the derivative",
            fix="torch.autograd.grad(u.sum(), x, create_graph=True)[0]",
        )
        return


def _is_judged(view: View, op: Op) -> bool:
    """Say whether a derivative gets to the loss and into no layer on the way: it is not an input made by a gradient."""
    waiting, known = list(op.outputs), set[int]()
    reached = False
    while waiting:
        fact = waiting.pop()
        reached |= fact in view.losses
        for reader in view.readers.get(fact.number, []):
            if reader.number in known or reader.number not in view.on_path:
                continue
            if any(item.name for item in reader.inputs) or reader.name in ("sign", "detach"):
                return False
            known.add(reader.number)
            waiting += reader.outputs
    return reached


def _added(loss: Fact) -> list[Fact]:
    """Return the scalar terms that a loss is the sum of, those without a gradient among them."""
    terms, waiting, known = list[Fact](), [loss], set[int]()
    while waiting:
        fact = waiting.pop()
        if fact.number in known:
            continue
        known.add(fact.number)
        op = fact.maker
        inputs = op.inputs if op is not None else ()
        summed = op is not None and op.name in SUMS and len(inputs) > 1 and all(item.shape == () for item in inputs)
        scaled = op is not None and op.name in ("mul", "rmul", "div", "truediv") and len(inputs) == 1
        if summed or scaled:
            waiting += inputs
        elif fact is not loss:
            terms.append(fact)
    return terms


def _breaks(view: View, op: Op) -> bool:
    """Say whether an operation that runs without autograd reads what the trained model gave."""
    return any(
        fact.requires_grad and fact.maker is not None and view.came(fact) >= {INPUT, WEIGHT} for fact in op.inputs
    )


def norm_of_all(subject: Subject) -> Iterator[Finding]:
    """Find a gradient penalty that takes one norm of the gradients of all samples together."""
    view = seen(subject)
    if view is None or view.size < 2:
        return
    for op in view.path:
        made = op.inputs[0].maker if op.name in NORMS and op.inputs else None
        if made is None or made.name != "grad" or op.outputs[0].shape != () or len(op.inputs[0].shape) < 2:
            continue
        readers = view.readers.get(op.outputs[0].number, [])
        if op.inputs[0].shape[0] != view.size or not any(item.name in ("sub", "rsub") for item in readers):
            continue
        place, line = where(view, op, "norm")
        yield found(
            "norm-of-batch",
            place,
            "takes one norm over the gradients of the whole batch, and a gradient penalty holds the norm of each "
            "sample near 1 (per sample, dim=1)",
            severity="warning",
            at=op.line or line,
            evidence=f"the norm of {tuple(op.inputs[0].shape)} is one number",
            effect="the penalty depends on the batch size, and single samples may have any slope",
            fix="((grad.flatten(1).norm(2, dim=1) - 1) ** 2).mean()",
        )
        return


def smoothness(subject: Subject) -> Iterator[Finding]:
    """Find a penalty on neighbouring differences that takes neither their absolute value nor their square."""
    view = seen(subject)
    if view is None:
        return
    for op in view.path:
        if op.name not in ("sub", "diff") or op.module is not None or not op.own or not op.inputs:
            continue
        if WEIGHT not in view.came(op.inputs[0]) or TARGET in view.came(op.inputs[0]) or not _are_neighbours(op):
            continue
        readers = [item for item in view.readers.get(op.outputs[0].number, []) if item.number in view.on_path]
        if len(readers) != 1 or readers[0].name not in ("mean", "sum") or readers[0].outputs[0].shape != ():
            continue
        place, line = where(view, op, "differences")
        total = readers[0].outputs[0].low or 0.0
        yield found(
            "differences-cancel",
            place,
            "sums the differences of neighbours as they are (a total variation without abs or square): they cancel, "
            "and only the first and the last value are left",
            severity="warning",
            at=line or view.loss_line,
            evidence=f"{readers[0].name} of {tuple(op.outputs[0].shape)} differences: {total:.3g}",
            effect="the penalty does not smooth, and has no lower bound (it is linear in the outputs)",
            fix="(x[..., 1:] - x[..., :-1]).abs().mean()",
        )
        return


def _are_neighbours(op: Op) -> bool:
    """Say whether an operation subtracts a tensor from itself, moved by some places."""
    if op.name == "diff":
        return True
    makers = [fact.maker for fact in op.inputs]
    if len(makers) != 2 or op.inputs[0].shape != op.inputs[1].shape:
        return False
    one, two = makers
    if one is None or two is None or one.name != "getitem" or two.name != "getitem":
        return False
    sliced = one.inputs[0].shape != op.inputs[0].shape and len(one.inputs[0].shape) == len(op.inputs[0].shape)
    overlap = all(2 * part > size for part, size in zip(op.inputs[0].shape, one.inputs[0].shape, strict=False))
    return sliced and overlap and one.inputs[0] is two.inputs[0]  # two halves are those of two samples


def linear_weights(subject: Subject) -> Iterator[Finding]:
    """Find a penalty that sums weights as they are: it is lowered by ever more negative weights."""
    view = seen(subject)
    if view is None:
        return
    for op in view.path:
        if op.name not in ("sum", "mean") or op.module is not None or not op.inputs or not op.own:
            continue
        fact = op.inputs[0]
        weights = fact.requires_grad and fact.maker is None and len(fact.shape) > 0 and op.outputs[0].shape == ()
        if not weights or not (op.outputs[0].grad_norm or 0.0) > 0 or not _is_added_up(view, op):
            continue
        others = [item for item in view.readers.get(fact.number, []) if item is not op and item.number in view.on_path]
        if any(item.module is None for item in others):
            continue  # as learnt log-variances of tasks, held back by another term: exp(-s) * loss + s
        place, line = where(view, op, "penalty")
        yield found(
            "penalty-linear",
            place,
            "sums the weights as they are: a penalty (L1, L2) takes their absolute value (abs) or square (norm), and "
            "this one is linear and has no lower bound: it drives the weights to minus infinity",
            at=line or view.loss_line,
            evidence=f"{op.name} of weights {tuple(fact.shape)}, {float(op.outputs[0].low or 0.0):.3g}",
            effect="weights become ever more negative instead of small",
            fix="penalty = sum(p.abs().sum() for p in model.parameters())",
        )
        return


def _is_added_up(view: View, op: Op) -> bool:
    """Say whether a number gets to a loss by sums and positive factors alone."""
    fact = op.outputs[0]
    for _ in range(500):
        if fact in view.losses:
            return True
        readers = [item for item in view.readers.get(fact.number, []) if item.number in view.on_path]
        if len(readers) != 1 or readers[0].name not in ("add", "radd", "mul", "rmul", "sum", "stack", "mean"):
            return False
        if "mul" in readers[0].name and len(readers[0].inputs) != 1:
            return False
        fact = readers[0].outputs[0]
    return False


RULES = (without_graph, derivative_without_graph, norm_of_all, smoothness, linear_weights)
