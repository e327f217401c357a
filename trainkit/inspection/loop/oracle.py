"""The user's own evaluation of answers that are known: a model that answers by the targets themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from trainkit.inspection.loop.copies import copies_with
from trainkit.inspection.passes import in_eval
from trainkit.inspection.probes.tables import Table, table
from trainkit.inspection.recording import Fact, Op, Recording, flat, recorded
from trainkit.inspection.step.view import SHAPING, View, seen
from trainkit.inspection.subject import Subject
from trainkit.inspection.untouched import copied_data, kept_generators

CLASSES, LOGITS, PROBABILITIES, NUMBERS = "classes", "logits", "probabilities", "numbers"
KINDS = {
    "cross_entropy": CLASSES,
    "nll_loss": CLASSES,
    "binary_cross_entropy_with_logits": LOGITS,
    "binary_cross_entropy": PROBABILITIES,
    "mse_loss": NUMBERS,
    "l1_loss": NUMBERS,
    "smooth_l1_loss": NUMBERS,
    "huber_loss": NUMBERS,
}
"""What outputs are to the losses that read them."""
FEWEST, VALUES = 8, 4_000_000
"""Validation samples that say something, and values of inputs up to which samples are told apart."""
SURE, SURER = 8.0, 20.0
"""Margins of the scores of a right answer: a figure of decisions is the same for both, a loss is not."""
RIGHT = 0.7
"""Share of right answers among mixed ones."""

Say = Callable[[Tensor, Tensor], tuple[Tensor, float]]
"""Gives of indices and targets what to answer, and how surely."""


class Unknown(Exception):
    """The evaluation shows the model what is no sample of the validation set."""


@dataclass
class Loaders:
    """The loaders that an evaluation made.

    Attributes:
        given: Their batch size, whether they shuffle, and whether they drop the last batch.
    """

    given: list[tuple[int | None, bool, bool]] = field(default_factory=list)


@dataclass
class Told:
    """What an evaluation said of some answers.

    Attributes:
        values: Its figures.
        order: Indices of the samples, as the model was asked.
        sizes: Of the batches.
    """

    values: list[float]
    order: list[int]
    sizes: list[int]
    loaders: Loaders
    recording: Recording | None = None


@dataclass(eq=False)
class Oracle:
    """A validation set whose answers are known, and how outputs say them.

    Attributes:
        kind: What an output is: a score of each class, of one, a probability, a number.
        axis: Of an output, over which the classes lie.
        logs: Whether scores of classes are logarithms of probabilities.
        sink: The loss that reads them in training.
    """

    subject: Subject
    kind: str
    axis: int
    logs: bool
    sink: Op
    tail: tuple[int, ...]
    targets: Tensor
    known: dict[bytes, int]
    place: str

    @property
    def total(self) -> int:
        """Samples of the validation set."""
        return len(self.targets)

    def ask(
        self, say: Say, *, loader: Mapping[str, Any] | None = None, few: int | None = None, record: bool = False
    ) -> Told | None:
        """Evaluate some answers; None where the evaluation does not ask for them.

        Args:
            say: What is answered.
            loader: Settings that its loaders get in place of the user's.
            few: Samples at the beginning that alone are evaluated.
            record: Whether to record its operations.
        """
        subject = self.subject
        assert subject.evaluate is not None
        order: list[int] = []
        sizes: list[int] = []
        with copies_with(subject, subject.evaluate) as copies, kept_generators(), loading(loader or {}) as loaders:
            model, evaluate = in_eval(copies.model), copies.functions[0]
            self._patch(model, say, order, sizes)
            data = copied_data(subject.val_set)
            given = data if few is None else torch.utils.data.Subset(data, list(range(few)))
            if record:
                recording, value, error = recorded(model, lambda: evaluate(model, given), gradients=False)
                if error is not None:
                    return None
            else:
                recording = None
                try:
                    value = evaluate(model, given)
                except Exception:  # noqa: BLE001 - an evaluation that asks for something else is none to judge by this
                    return None
        values = numbers(value)
        return Told(values, order, sizes, loaders, recording) if order and values else None

    def _patch(self, model: nn.Module, say: Say, order: list[int], sizes: list[int]) -> None:
        original = model.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            with torch.no_grad():
                output = original(*args, **kwargs)
            given = [tensor for tensor in flat((args, kwargs)) if tensor.dim()]
            indices = [self.known.get(key([tensor[row] for tensor in given])) for row in range(len(given[0]))]
            if not isinstance(output, Tensor) or any(index is None for index in indices):
                raise Unknown
            if tuple(output.shape[1:]) != self.tail or len(output) != len(indices):
                raise Unknown
            chosen = torch.tensor(indices)
            order.extend(chosen.tolist())
            sizes.append(len(chosen))
            return self._output(output, *say(chosen, self.targets[chosen]))

        model.forward = forward

    def _output(self, like: Tensor, answers: Tensor, margin: float) -> Tensor:
        """Return what the model would give for some answers."""
        if self.kind == NUMBERS:
            return answers.to(like.dtype).reshape(like.shape)
        if self.kind == CLASSES:
            scores = torch.zeros_like(like).scatter(self.axis, answers.long().unsqueeze(self.axis), margin)
            return scores.log_softmax(self.axis) if self.logs else scores
        signed = (answers.to(like.dtype).reshape(like.shape) * 2 - 1) * margin
        return signed if self.kind == LOGITS else signed.sigmoid()

    def right(self, margin: float = SURE) -> Say:
        """Answer by the targets."""
        return lambda _, targets: (targets, margin)

    def wrong(self) -> Say:
        """Answer by anything but the target."""
        return lambda _, targets: (self._other(targets), SURE)

    def shifted(self, by: float) -> Say:
        """Answer numbers that are off by as much each."""
        return lambda _, targets: (targets + by, SURE)

    def mixed(self) -> Say:
        """Answer some samples right and others wrong, always the same ones; numbers with an error of their own each."""
        generator = torch.Generator().manual_seed(0)
        shape = (len(self.targets), *(1 for _ in self.targets.shape[1:]))
        if self.kind == NUMBERS:
            off = torch.randn(self.targets.shape, generator=generator) * float(self.targets.double().std())
            return lambda indices, targets: (targets + off[indices], SURE)
        hit = torch.rand(shape, generator=generator) < RIGHT
        return lambda indices, targets: (torch.where(hit[indices], targets, self._other(targets)), SURE)

    def always(self, answer: float) -> Say:
        """Answer the same to all."""
        return lambda _, targets: (torch.full_like(targets, answer), SURE)

    def _other(self, targets: Tensor) -> Tensor:
        if self.kind == CLASSES:
            return (targets + 1) % self.tail[self.axis - 1]
        return 1 - targets if self.kind != NUMBERS else targets + 1


def oracle(subject: Subject) -> Oracle | None:
    """Return answers to the validation set; None where it is not known how outputs are read, or samples are drawn."""
    return subject.once(_made)


def _made(subject: Subject) -> Oracle | None:
    view, rows = seen(subject), table(subject, "val_set")
    if subject.evaluate is None or view is None or rows is None or not rows.complete or len(rows.samples) < FEWEST:
        return None
    if sum(x.numel() for x in rows.samples[0].inputs) * rows.total > VALUES or rows.targets is None:
        return None
    sink = _judging(view)
    if sink is None:
        return None
    output, kind = view.outputs[0], KINDS[sink.name]
    targets = rows.targets if kind != CLASSES else rows.targets.long()
    axis = _axis(output, sink, targets) if kind == CLASSES else 1
    if axis is None or (kind == CLASSES and not _are_classes(rows, output.shape[axis])):
        return None
    if kind != CLASSES and targets[0].numel() != _count(output.shape[1:]):
        return None
    if kind in (LOGITS, PROBABILITIES) and not set(targets.unique().tolist()) <= {0, 1}:
        return None
    known = _keys(rows, targets)
    place = getattr(subject.evaluate, "__name__", "evaluate")
    tail = tuple(output.shape[1:])
    logs = sink.name == "nll_loss"
    return Oracle(subject, kind, axis, logs, sink, tail, targets, known, place) if known else None


def _judging(view: View) -> Op | None:
    """Return the loss that reads the model's only output as it is, in whatever shape, against the batch's target."""
    if len(view.outputs) != 1 or not view.outputs[0].dtype.is_floating_point or len(view.outputs[0].shape) < 1:
        return None
    sinks = [op for op in view.sinks(*KINDS) if _plain(op.inputs[0]) is view.outputs[0]]
    return sinks[0] if len(sinks) == 1 else None


def _plain(fact: Fact) -> Fact:
    """Return the tensor that another is, in another shape."""
    while fact.maker is not None and fact.maker.name in SHAPING and fact.maker.inputs and fact.maker.module is None:
        fact = fact.maker.inputs[0]
    return fact


def _axis(output: Fact, sink: Op, targets: Tensor) -> int | None:
    """Return the dimension of the classes: of what is left without it the targets have the shape."""
    shape, wanted = tuple(output.shape[1:]), tuple(targets.shape[1:])
    places = [axis for axis in range(len(shape)) if shape[:axis] + shape[axis + 1 :] == wanted]
    if sink.inputs[0] is output:
        return 1 if 0 in places else None
    return places[-1] + 1 if places else None


def _are_classes(rows: Table, count: int) -> bool:
    """Say whether all targets are numbers of classes that outputs have a score for."""
    targets = rows.targets
    return (
        targets is not None
        and not targets.is_floating_point()
        and int(targets.min()) >= 0
        and count >= 2
        and int(targets.max()) < count
    )


def _count(shape: tuple[int, ...]) -> int:
    return int(torch.Size(shape).numel())


def _keys(rows: Table, targets: Tensor) -> dict[bytes, int]:
    """Return the index of each sample by its values; none where equal samples have different targets."""
    known: dict[bytes, int] = {}
    for index, sample in enumerate(rows.samples):
        other = known.setdefault(key(list(sample.inputs)), index)
        if not torch.equal(targets[other], targets[index]):
            return {}
    return known


def key(tensors: list[Tensor]) -> bytes:
    """Return a code of a sample's values, whatever its shape."""
    code = hashlib.blake2b(digest_size=16)
    for tensor in tensors:
        code.update(tensor.detach().cpu().double().contiguous().numpy().tobytes())
    return code.digest()


def numbers(value: Any) -> list[float]:
    """Return the figures that an evaluation gives."""
    if isinstance(value, Mapping):
        return [number for item in value.values() for number in numbers(item)]
    if isinstance(value, list | tuple):
        return [number for item in value for number in numbers(item)]
    try:
        return [float(value)]
    except (TypeError, ValueError, RuntimeError):
        return []


@contextmanager
def loading(settings: Mapping[str, Any]) -> Iterator[Loaders]:
    """Give the loaders that are made meanwhile other settings, and tell what they had."""
    made, original = Loaders(), DataLoader.__init__
    names = ("dataset", "batch_size", "shuffle", "sampler", "batch_sampler", "num_workers", "collate_fn")

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        given = {**dict(zip(names, args, strict=False)), **kwargs} if len(args) <= len(names) else None
        if given is None or given.get("sampler") is not None or given.get("batch_sampler") is not None:
            original(self, *args, **kwargs)
            return
        drops, shuffles = bool(given.get("drop_last", False)), bool(given.get("shuffle", False))
        made.given.append((given.get("batch_size", 1), shuffles, drops))
        original(self, **{**given, **settings})

    setattr(DataLoader, "__init__", init)  # noqa: B010 - a method, which no type checker lets be set
    try:
        yield made
    finally:
        setattr(DataLoader, "__init__", original)  # noqa: B010
