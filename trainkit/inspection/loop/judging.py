"""Whether the user's own evaluation gives right answers the best figure, and what of it hangs on how it loads."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from trainkit.findings import Finding
from trainkit.inspection.clock import cpu_seconds
from trainkit.inspection.loop.oracle import CLASSES, NUMBERS, RIGHT, SURER, Oracle, Told, oracle
from trainkit.inspection.probes.origins import made_at
from trainkit.inspection.probes.tables import table
from trainkit.inspection.recording import Op
from trainkit.inspection.source import Line, called, code_of, walk
from trainkit.inspection.subject import Subject, found

SECONDS = 0.6
"""Time of one evaluation from which the answers are not tried."""
ALIKE = 1e-4
"""Relative difference below which two figures are one."""
APART = 0.01
"""Relative difference of a figure by batches from that of all samples, from which it is a warning."""
HALF = 0.5
"""Figure of perfect answers up to which it is no choice of how empty parts count."""
COMMON = 0.95
"""Share of the commonest class from which accuracy says little."""
MOST = 8
"""Batches that are evaluated as one."""


def judged(subject: Subject) -> Iterator[Finding]:
    """Let the evaluation judge the targets themselves, then answers that are partly right."""
    if subject.evaluate is None or subject.val_set is None:
        return
    known = oracle(subject)
    if known is None:
        return
    start = cpu_seconds()
    best = known.ask(known.right())
    if best is None or cpu_seconds() - start > SECONDS:
        return
    told = _by_numbers(known, best) if known.kind == NUMBERS else _by_classes(known, best)
    if told is not None:
        yield told
        return
    yield from _in_batches(known, best)
    yield from _of_majority(known, best)


def _of_majority(known: Oracle, best: Told) -> Iterator[Finding]:
    """Give the commonest class as all answers: where nearly all samples are of it, that is hard to beat."""
    rows = table(known.subject, "train_set")
    if known.kind == NUMBERS or known.targets[0].numel() > 1 or rows is None or rows.targets is None:
        return
    kinds, counts = rows.targets.unique(return_counts=True)
    share = float(counts.max() / counts.sum())
    weighted = any(known.sink.setting(name, 9) is not None for name in ("weight", "pos_weight"))
    if not 2 <= len(kinds) <= 50 or share < COMMON or weighted or rows.targets[0].numel() > 1:
        return
    told = known.ask(known.always(float(kinds[counts.argmax()])))
    good = [value for value in (told.values if told is not None else []) if COMMON <= value < 1]
    if not good or not any(_same(value, 1.0) for value in best.values):
        return
    yield found(
        "accuracy-of-majority",
        "train_set: classes",
        f"are imbalanced (unbalanced): {share:.1%} of the labels are one class, the loss gives rare ones no weight "
        f"(pos_weight), and {known.place} counts right answers (accuracy)",
        severity="warning",
        at=made_at(known.subject, "train_set"),
        evidence=f"the answer {float(kinds[counts.argmax()]):g} to all samples gets {good[0]:.4g}",
        effect="a model that never finds the rare (minority) class looks nearly perfect, and the loss leads there",
        fix="Measure recall, F1 or balanced accuracy, and weight the loss (pos_weight) or the sampling",
    )


def _by_classes(known: Oracle, best: Told) -> Finding | None:
    """Look for figures of decisions that perfect answers do not bring to their best."""
    surer, worst = known.ask(known.right(SURER)), known.ask(known.wrong())
    if surer is None or worst is None or not len(best.values) == len(surer.values) == len(worst.values):
        return None
    judged_well = False
    odd: list[tuple[int, bool]] = []
    for place, value in enumerate(best.values):
        if not _same(value, surer.values[place]) or value != value:
            continue  # a loss
        ignored = _same(value, worst.values[place])
        if _is_perfect(known, best, value, place) or (known.kind == CLASSES and _lacks_classes(known, value)):
            if (told := _coarse(known, value, worst.values[place], place)) is not None:
                return told
            judged_well |= not ignored
        else:
            odd.append((place, ignored))
    for place, ignored in odd:
        value, op = best.values[place], _recorded(known)
        if judged_well or (ignored and (len(best.values) > 1 or op is None)):
            continue  # of something else than how right answers are
        if op is not None and op.name == "topk" and op.setting("k", 1) != 1:
            continue  # more places than there may be right answers
        if known.targets[0].numel() > 1 and value > HALF and _lacks_parts(known):
            continue
        return _misjudged(known, best, place, ignored)
    return None


def _lacks_parts(known: Oracle) -> bool:
    """Say whether some samples lack a class that others hold: what a figure of each sample counts as, is a choice."""
    rows = known.targets.flatten(1)
    return any(not bool((rows == kind).any(1).all()) for kind in known.targets.unique()[:50])


def _coarse(known: Oracle, best: float, worst: float, place: int) -> Finding | None:
    """Tell of a figure that is that of no right answer at all until every single one is right."""
    mixed = known.ask(known.mixed()) if best == 1 and worst == 0 else None
    if mixed is None or len(mixed.values) <= place or mixed.values[place] != 0:
        return None
    return found(
        "figure-rounded-down",
        f"{known.place}: figure",
        "rounds down to 0 until every single answer is right: an integer division (//, floor) or a cast to int",
        at=_returning(known),
        evidence=f"answers of which about {RIGHT:.0%} are right get 0, all right ones 1",
        effect="the accuracy is always 0, however good the model is",
        fix="correct / total",
    )


def _recorded(known: Oracle) -> Op | None:
    """Return the operation that makes classes of outputs."""
    told = known.ask(known.right(), record=True)
    return _deciding(told) if told is not None else None


def _by_numbers(known: Oracle, best: Told) -> Finding | None:
    """Look for figures that exact answers do not bring to their best: an error in one direction makes them better."""
    spread = float(known.targets.double().std()) or 1.0
    above, below = known.ask(known.shifted(0.3 * spread)), known.ask(known.shifted(-0.3 * spread))
    if above is None or below is None or not len(best.values) == len(above.values) == len(below.values):
        return None
    for place, value in enumerate(best.values):
        if value != value or abs(value) < 1e-5 * max(abs(above.values[place]), 1e-9):
            return None
        if _is_perfect(known, best, value, place):
            return None  # the others may be no errors
    for place, value in enumerate(best.values):
        one_way = (above.values[place] - value) * (below.values[place] - value) < 0
        if one_way or (best.order != sorted(best.order) and _heals(known, {"shuffle": False}, place)):
            return _misjudged(known, best, place, ignored=False)
    return None


def _is_perfect(known: Oracle, best: Told, value: float, place: int) -> bool:
    """Say whether a figure is one that perfect answers may get: all, a count of all, or no error."""
    if any(_same(abs(value), good) for good in (0.0, 1.0)) or abs(value) < 1e-6:
        return True
    if not any(_same(value, good) for good in (100.0, *_counts(known, best))):
        return False
    few = min(best.sizes[0] + best.sizes[0] // 2, known.total - 1)
    part = known.ask(known.right(), few=few)
    if part is None or len(part.values) <= place:
        return True
    one = known.targets[0].numel()
    due = (100.0, few, few * one, sum(part.sizes), sum(part.sizes) * one)  # the share is the same, a count is another
    return any(_same(part.values[place], good) for good in due)


def _counts(known: Oracle, best: Told) -> tuple[float, ...]:
    looked_at, one = sum(best.sizes), known.targets[0].numel()
    return known.total, known.total * one, looked_at, looked_at * one


def _lacks_classes(known: Oracle, value: float) -> bool:
    """Say whether a mean over classes is less than 1 by those that do not occur."""
    kinds, there = known.tail[known.axis - 1], len(known.targets.unique())
    return there < kinds and any(_same(value, scale * there / kinds) for scale in (1.0, 100.0))


def _misjudged(known: Oracle, best: Told, place: int, ignored: bool) -> Finding:
    value, looked_at = best.values[place], sum(best.sizes)
    due = "0" if known.kind == NUMBERS else "1"
    evidence = f"the targets themselves as answers get {value:.4g}, and {due} is due"
    without = {"shuffle": False}, {"drop_last": False}
    if any(shuffles for _, shuffles, _ in best.loaders.given) and _heals(known, without[0], place):
        return found(
            "order-lost-in-evaluation",
            f"{known.place}: shuffle",
            "holds answers in the shuffled order of its loader against labels in the order of val_set: they are "
            "misaligned (mismatch)",
            at=_loading(known, "shuffle"),
            evidence=f"{evidence}; with shuffle=False they get it",
            effect="the figure is that of chance, however good the model is",
            fix="shuffle=False for validation, or gather labels in the loop, beside the answers",
        )
    if any(drops for _, _, drops in best.loaders.given) and _heals(known, without[1], place):
        return found(
            "divides-by-unseen",
            f"{known.place}: drop_last",
            f"divides by all {known.total} samples (len(val_set)) and looks at {looked_at}: drop_last leaves out the "
            "last batch",
            severity="warning",
            at=_loading(known, "drop_last"),
            evidence=f"{evidence}; with drop_last=False they get it",
            effect="the figure is too small, and lacks the same samples each time",
            fix="drop_last=False for validation, and divide by the number of samples that were counted",
        )
    batches = len(best.sizes)
    if any(_same(value, scale * known.targets.numel() / batches) for scale in (1.0, 100.0)):
        return found(
            "divides-by-batches",
            f"{known.place}: mean",
            f"divides a count of samples by the number of batches (len(loader)): {value:.4g} for perfect answers",
            at=_returning(known),
            evidence=f"{evidence}; {known.total} samples in {batches} batches",
            effect="the accuracy is no share of samples: it exceeds 1, and changes with the batch size",
            fix="Divide by the number of samples: len(loader.dataset)",
        )
    return _unlike(known, best, value, evidence, ignored)


def _unlike(known: Oracle, best: Told, value: float, evidence: str, ignored: bool) -> Finding:
    """Return what is known of a figure that perfect answers do not bring to its best: the operation that decides."""
    op = _recorded(known)
    what, fix = "does not give perfect answers the best figure (metric)", "Try it on outputs made of the targets"
    if op is not None and op.name in ("argmax", "max", "topk") and op.inputs[0].shape[-1:] == (1,):
        what = f"takes {op.name} over a single output (one logit), which always is class 0"
        fix = "output[:, 0] > 0 for logits (a threshold on the score), or > 0.5 for probabilities"
    elif op is not None and op.name in ("argmax", "max", "softmax") and known.kind == CLASSES:
        dim = op.setting("dim", 1)
        shape = op.inputs[0].shape
        if isinstance(dim, int) and len(shape) == len(known.tail) + 1 and dim % len(shape) != known.axis:
            what = f"takes {op.name} over dim {dim} of {list(shape)}: the classes (channels) lie in dim {known.axis}"
            fix = f"{op.name}(dim={known.axis})"
    elif known.kind == NUMBERS:
        what = (
            "does not hold answers and targets against each other on one scale: exact answers do not get the best one"
        )
        fix = "Undo the scaling of both answers and targets, or of neither"
    graded = "perfect answers" in what and _is_graded(known, best.values.index(value))
    return found(
        "answers-misjudged",
        f"{known.place}: {op.name if op is not None else 'figure'}",
        what,
        severity="info" if graded else "error",
        at=(op.line if op is not None else None) or _returning(known),
        evidence=f"{evidence}{', as wrong ones do' if ignored else ''}",
        effect="the figure (accuracy, error) does not show how good the model is",
        fix=fix,
    )


def _is_graded(known: Oracle, place: int) -> bool:
    """Say whether a figure is the further from that of wrong answers, the more are right: one on a scale of its own."""
    asked = [known.ask(say) for say in (known.right(), known.mixed(), known.wrong())]
    figures = [told.values[place] for told in asked if told is not None and len(told.values) > place]
    return len(figures) == 3 and (figures[0] - figures[1]) * (figures[1] - figures[2]) > 0


def _heals(known: Oracle, settings: dict[str, bool], place: int) -> bool:
    """Say whether perfect answers get the best figure under other settings of the loader."""
    told = known.ask(known.right(), loader=settings)
    if told is None or len(told.values) <= place:
        return False
    value = told.values[place]
    return abs(value) < 1e-4 or any(_same(value, good) for good in (1.0, 100.0, *_counts(known, told)))


def _deciding(best: Told) -> Op | None:
    """Return the operation that makes classes of outputs."""
    if best.recording is None:
        return None
    outputs = {fact.number for call in best.recording.calls if call.path == "" for fact in call.outputs}
    for op in best.recording.ops:
        if op.module is not None or op.name not in ("argmax", "max", "topk", "round", "gt", "ge", "lt", "le"):
            continue
        came = {fact.number for made in best.recording.ancestors(op.inputs[0]) for fact in made.inputs}
        if outputs & (came | {op.inputs[0].number}):
            return op
    return None


def _loading(known: Oracle, name: str) -> Line | None:
    """Return the line of the loader that has a setting, as far as the evaluation itself makes it."""
    code = code_of(known.subject.evaluate)
    calls = list(code.calls("DataLoader")) if code is not None else []
    named = [call for call in calls if any(keyword.arg == name for keyword in call.keywords)]
    for call in named or calls:
        if code is not None:
            keyword = next((item for item in call.keywords if item.arg == name), None)
            return code.line(keyword.value if keyword is not None else call)
    return code.line(code.node) if code is not None else None


def _returning(known: Oracle) -> Line | None:
    code = code_of(known.subject.evaluate)
    returns = [node for node in walk(code.node) if isinstance(node, ast.Return)] if code is not None else []
    return code.line(returns[-1]) if returns and code is not None else None


def _in_batches(known: Oracle, best: Told) -> Iterator[Finding]:
    """Evaluate some full batches as one: a mean of roots or ratios is not that of all samples."""
    size = best.sizes[0]
    count = min(known.total // size, MOST)
    if len(best.sizes) < 2 or count < 2 or not any(number == size for number, _, _ in best.loaders.given):
        return
    say = known.mixed()
    by_batch = known.ask(say, few=count * size, loader={"shuffle": False})
    at_once = known.ask(say, few=count * size, loader={"shuffle": False, "batch_size": count * size})
    again = known.ask(say, few=count * size, loader={"shuffle": False})
    if by_batch is None or at_once is None or again is None or at_once.sizes != [count * size]:
        return
    for one, other, third in zip(by_batch.values, at_once.values, again.values, strict=False):
        if one != third:
            continue  # such as a time
        if _same(one, other) or other == 0 or any(_same(one, factor * other) for factor in (count, 1 / count)):
            continue
        apart = abs(one - other) / abs(other)
        if apart < 10 * ALIKE:
            continue
        yield found(
            "mean-of-ratios",
            f"{known.place}: mean",
            "averages a figure of each batch that is no mean over samples (a root as of RMSE, or a ratio as of F1): "
            "the mean of batches is not the figure of all samples",
            severity="warning" if apart >= APART and known.targets[0].numel() == 1 else "info",
            at=_figure(known),
            evidence=f"{one:.4g} for {count} batches of {size}, {other:.4g} for these {count * size} samples at once",
            effect="the figure changes with the batch size, and cannot be compared",
            fix="Add up what it is made of (squared errors, hits) or gather all answers; take the root or ratio last",
        )
        return


def _figure(known: Oracle) -> Line | None:
    """Return the line at which a batch's figure is added or kept."""
    code = code_of(known.subject.evaluate)
    for loop in walk(code.node) if code is not None else ():
        if not isinstance(loop, ast.For) or code is None:
            continue
        for node in walk(loop):
            appended = isinstance(node, ast.Call) and called(node).rpartition(".")[2] == "append"
            if appended or isinstance(node, ast.AugAssign):
                return code.line(node)
    return _returning(known)


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= ALIKE * max(abs(one), abs(other), 1e-12)


RULES = (judged,)
