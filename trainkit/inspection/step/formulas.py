"""Settings and signs of losses: what is smoothed twice, divided by too much, taken off, or compared unnormalised."""

from __future__ import annotations

from collections.abc import Iterator

from trainkit.findings import Finding
from trainkit.inspection.recording import Fact, Op
from trainkit.inspection.step.bounds import activation, bounds
from trainkit.inspection.step.losses import sums_to_one
from trainkit.inspection.step.terms import where
from trainkit.inspection.step.view import SHAPING, TARGET, WEIGHT, View, seen, source, tensor_of
from trainkit.inspection.subject import Subject, found

EVEN = frozenset(["pow", "square", "abs", "norm", "vector_norm", "linalg_vector_norm"])
"""Operations whose result grows with the size of what they are given, whatever its sign."""
LAYERS = frozenset(["linear", "conv1d", "conv2d", "conv3d", "addmm"])
"""Operations whose results have no bounds."""
SPLITS = SHAPING | {"chunk", "split", "getitem", "unbind", "select"}
"""Operations that take a part of a result."""
SHARP = 0.3
"""Temperature up to which scores are meant to be cosines."""


def smoothed_twice(subject: Subject) -> Iterator[Finding]:
    """Find labels that are smoothed in the data and by the loss."""
    view = seen(subject)
    if view is None:
        return
    for op in view.sinks("cross_entropy"):
        amount = op.setting("label_smoothing", 7, 0.0)
        target = tensor_of(op.inputs[1])
        if not amount or target is None or target.dim() < 2 or not op.inputs[1].dtype.is_floating_point:
            continue
        if WEIGHT in view.came(op.inputs[1]) or not sums_to_one(target, 1) or target.shape[1] < 2:
            continue
        least = target.flatten(2).amin(1) if target.dim() > 2 else target.amin(1)
        one = bool((least > 1e-4).all()) and float(least.max() - least.min()) < 1e-5
        if not one:
            continue
        place, line = where(view, op, "label_smoothing")
        yield found(
            "labels-smoothed-twice",
            place,
            f"smooths the labels by label_smoothing={amount:g}, and the targets that it is given are smoothed already",
            severity="warning",
            at=line or view.loss_line,
            evidence=f"each target gives at least {float(least.min()):.3g} to every class before the loss smooths it",
            effect="labels are smoothed twice: probabilities are further from 1 than is meant",
            fix="Smooth in one place: CrossEntropyLoss(label_smoothing=0.1) on class numbers.",
        )
        return


def divergence_by_elements(subject: Subject) -> Iterator[Finding]:
    """Find a KL divergence that is divided by the number of its classes, too."""
    view = seen(subject)
    if view is None:
        return
    for op in view.sinks("kl_div"):
        shape = op.inputs[0].shape
        if op.setting("reduction", 4, "mean") != "mean" or len(shape) < 2 or shape[-1] < 2:
            continue
        values = tensor_of(op.inputs[0])
        if values is None or not sums_to_one(values.exp(), -1):
            continue
        place, line = where(view, op, "reduction")
        yield found(
            "kl-div-mean",
            place,
            "is KLDivLoss with reduction='mean', which divides by the classes, too: it is no KL divergence; "
            "'batchmean' is",
            severity="info" if any(fact in view.losses for fact in op.outputs) else "warning",
            at=line or view.loss_line,
            evidence=f"input {tuple(shape)}: the loss is {shape[-1]} times smaller than the divergence",
            effect="beside another term it hardly counts; alone it is another scale of the gradient",
            fix="nn.KLDivLoss(reduction='batchmean')",
        )
        return


def margin_of_probabilities(subject: Subject) -> Iterator[Finding]:
    """Find a margin loss on outputs that can never be a margin apart."""
    view = seen(subject)
    if view is None:
        return
    for op in view.sinks("multi_margin_loss", "multilabel_margin_loss"):
        low, high = bounds(view, op.inputs[0])
        margin = op.setting("margin", 3, 1.0) if op.name == "multi_margin_loss" else 1.0
        bend = activation(view, op.inputs[0])
        if bend is None or high - low > margin:
            continue
        place, line = where(view, bend, bend.name)
        yield found(
            "margin-of-probabilities",
            place,
            f"gives probabilities ({bend.name}) to {op.name}, a hinge loss that wants raw scores {margin:g} apart",
            severity="warning",
            at=line,
            evidence=f"scores are confined to {low:g}..{high:g}: the margin of {margin:g} is never reached",
            effect="samples that are told rightly go on to count, and saturated outputs get no gradient",
            fix="Return the logits: leave the softmax or sigmoid out.",
        )
        return


def penalty_taken_off(subject: Subject) -> Iterator[Finding]:
    """Find a penalty of weights, or of unbounded outputs, that is subtracted from the loss."""
    view = seen(subject)
    if view is None:
        return
    for loss in view.losses:
        for term, minus in _signed(view, loss):
            what = _grows(view, term) if minus is not None else ""
            if not what or minus is None:
                continue
            place, line = where(view, minus, "sign")
            yield found(
                "penalty-subtracted",
                place,
                f"subtracts {what} from the loss: the penalty has the wrong sign and rewards what it should hold small",
                at=line or view.loss_line,
                evidence="the loss falls without bound as they grow",
                effect="training drives them to infinity instead of holding them small",
                fix="Add the penalty: loss = loss + weight * penalty (a KL divergence is added, and never below 0).",
            )
            return


def _signed(view: View, loss: Fact) -> list[tuple[Fact, Op | None]]:
    """Return what a loss is a weighted sum of, each with the last operation that turned its sign, if it is turned."""
    terms: list[tuple[Fact, Op | None]] = []
    waiting: list[tuple[Fact, Op | None]] = [(loss, None)]
    for _ in range(200):
        if not waiting:
            break
        fact, minus = waiting.pop()
        op = fact.maker
        inputs = list(op.inputs) if op is not None else []
        turned = None if minus is not None else op
        if op is None or not inputs:
            terms.append((fact, minus))
        elif op.name in ("add", "radd", "sum", "mean", "float", "to", *SHAPING):
            waiting += [(item, minus) for item in inputs]
        elif op.name in ("sub", "rsub", "neg"):
            last = len(inputs) - 1
            number_first = op.name == "rsub" and (len(op.args) < 2 or not isinstance(op.args[1], Fact))
            for at, item in enumerate(inputs):
                flips = at == last if op.name == "sub" and len(inputs) == 2 else op.name == "neg" or number_first
                if op.name == "rsub" and len(inputs) == 2:
                    flips = at == 0
                waiting.append((item, turned if flips else minus))
        elif op.name in ("mul", "rmul", "div", "truediv", "true_divide") and len(inputs) == 1:
            number = next((item for item in op.args if isinstance(item, int | float)), None)
            if number is not None:
                waiting.append((inputs[0], turned if number < 0 else minus))
        else:
            terms.append((fact, minus))
    return terms


def _grows(view: View, term: Fact) -> str:
    """Say what a term that is never below 0 grows with: weights, or outputs without bounds; empty if with neither."""
    op = term.maker
    if op is None or not op.inputs:
        return ""
    fact = op.inputs[0]
    even = op.name in EVEN and (op.name != "pow" or op.setting("exponent", 1) in (2, 4))
    if even and fact.name and fact.requires_grad:
        return f"a penalty (norm) of the weights {fact.name}"
    made = source(fact, SPLITS)[0]
    if op.name == "exp" and made is not None and made.name in LAYERS and view.came(fact) >= {WEIGHT}:
        return "the exponential of an output (the variance in a KL divergence)"
    return ""


def unnormalised_scores(subject: Subject) -> Iterator[Finding]:
    """Find products of embeddings that are divided by a temperature for cosines, and were never normalised."""
    view = seen(subject)
    if view is None:
        return
    for op in view.sinks("cross_entropy"):
        scaled = op.inputs[0].maker
        if scaled is None or scaled.name not in ("div", "truediv", "mul", "rmul") or len(scaled.inputs) != 1:
            continue
        number = next((item for item in scaled.args if isinstance(item, int | float)), 1.0)
        sharp = number if "div" in scaled.name else 1 / number if number else 1.0
        product = scaled.inputs[0].maker
        if not 0 < sharp <= SHARP or product is None or product.name not in ("matmul", "mm") or scaled.module:
            continue
        if TARGET in view.came(op.inputs[1]) or not all(_is_raw(view, fact) for fact in product.inputs[:2]):
            continue
        values = tensor_of(scaled.outputs[0])
        if values is None or values.dim() != 2 or values.shape[0] != values.shape[1]:
            continue
        place, line = where(view, product, "normalize")
        yield found(
            "embeddings-not-normalised",
            place,
            "multiplies embeddings that are not normalised, and a temperature for cosines divides the products",
            severity="warning",
            at=line,
            evidence=f"temperature {sharp:g}; scores from {float(values.min()):.3g} to {float(values.max()):.3g}, "
            f"where cosines would stay within {1 / sharp:.3g}",
            effect="the softmax is saturated, and the loss is lowered by longer embeddings instead of better ones",
            fix="z = F.normalize(z, dim=-1) before z @ z.T / temperature",
        )
        return


def _is_raw(view: View, fact: Fact) -> bool:
    """Say whether embeddings come from a layer without a bound, and their lengths differ."""
    made = source(fact, SPLITS | {"cat"})[0]
    values = tensor_of(fact)
    if made is None or made.name not in LAYERS or values is None or values.dim() != 2:
        return False
    lengths = [values.norm(dim=dim) for dim in (0, 1)]
    return all(float(length.std()) > 1e-3 * float(length.mean()) for length in lengths)


def normalised_over_batch(subject: Subject) -> Iterator[Finding]:
    """Find embeddings that are normalised over the batch, and multiplied as if each were of length 1."""
    view = seen(subject)
    if view is None:
        return
    for op in view.path:
        if (
            op.name != "normalize"
            or not op.inputs
            or op.setting("p", 1, 2.0) != 2
            or WEIGHT not in view.came(op.inputs[0])
        ):
            continue
        shape, fact = op.outputs[0].shape, op.outputs[0]
        readers = [reader for reader in view.readers.get(fact.number, []) if reader.number in view.on_path]
        first = any(reader.name in ("matmul", "mm") and reader.inputs[0] is fact for reader in readers)
        if (
            len(shape) != 2
            or op.setting("dim", 2, 1) not in (0, -2)
            or view.size < 2
            or shape[0] % view.size
            or not first
        ):
            continue
        place, line = where(view, op, "normalize")
        yield found(
            "normalised-over-batch",
            place,
            "normalises the embeddings over the batch (dim=0), and their products sum over the features (dim=1)",
            at=line,
            evidence=f"embeddings {tuple(shape)}: columns have length 1, rows have not",
            effect="similarities are no cosines, and that of two samples depends on the others in the batch",
            fix="F.normalize(z, dim=-1)",
        )
        return


RULES = (
    smoothed_twice,
    divergence_by_elements,
    margin_of_probabilities,
    penalty_taken_off,
    unnormalised_scores,
    normalised_over_batch,
)
