"""A look at the data before the first step: what would otherwise fail later, or train on nonsense without a word."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy
import torch
from torch import Tensor
from torch.utils.data import Subset

from trainkit.data.failures import form
from trainkit.data.fingerprint import tensors_of
from trainkit.data.foreign import Foreign
from trainkit.data.loader import Loader, length
from trainkit.errors import ConfigError
from trainkit.keys import Streams

CHUNK_BYTES = 2**20
MOST_BYTES = 2**23
"""Of larger tensors, evenly chosen chunks are looked at."""


def inspect(loader: Iterable[Any], first: Callable[[], Any] | None = None) -> None:
    """Look for numbers that are not finite: in the samples of a ``TensorDataset``, else in the first batch.

    Of tensors of more than 8 MB, evenly chosen parts are looked at: the start of a run must not take long. Leaves no
    trace: generators stay as they are, and an iterable that can be read only once is not touched.

    Args:
        loader: Any iterable of batches.
        first: Returns the loader's first batch, where it is needed elsewhere too and is to be fetched once.

    Raises:
        ConfigError: With the sample's index, the place and the value; or if there is no batch at all.
        TrainingError: If a sample of the first batch cannot be fetched or does not fit it.
    """
    name, source = _name_of(loader), loader.loader if isinstance(loader, Foreign) else loader
    if length(source) == 0:
        raise ConfigError(f"data.{name}: the loader gives no batch")
    tensors, chosen = _tensors_of(source)
    for number, tensor in enumerate(tensors):
        if tensor.is_floating_point() and (row := _first_bad_row(tensor, chosen)) is not None:
            parts = {1: [""], 2: ["inputs", "targets"]}.get(len(tensors)) or [
                f"tensor {i}" for i in range(len(tensors))
            ]
            raise ConfigError(_not_finite(name, row, parts[number], tensor[row if chosen is None else chosen[row]]))
    if not tensors and (isinstance(source, Loader) or (isinstance(source, list | tuple) and source)):
        with Streams().kept():
            if isinstance(source, Loader):
                batch, indices = (first or source.first)(), source.where(0, 0)
            else:
                batch, indices = source[0], []
        _inspect_batch(batch, indices, name)


def labels_fit(
    predictions: Any,
    targets: Any,
    ignore_index: int = -100,
    loader: Iterable[Any] | None = None,
    epoch: int = 0,
    number: int = 0,
) -> None:
    """Hold class indices against the number of a model's outputs.

    Looks at all targets of a ``TensorDataset``, else at those of the batch; at nothing if they are no class indices.

    Args:
        predictions: What the model gives for a batch, (batch, classes, ...).
        targets: Class indices of that batch, (batch, ...).
        ignore_index: The target that does not count.
        loader: Where the batch is from.
        epoch, number: Which of its batches it is.

    Raises:
        ConfigError: With the sample's index, its label and the allowed range.
    """
    if not isinstance(predictions, Tensor) or not isinstance(targets, Tensor) or predictions.ndim < 2:
        return
    whole = predictions.shape[:1] + predictions.shape[2:] == targets.shape
    if not whole or targets.is_floating_point() or targets.dtype == torch.bool:
        return
    classes, name = predictions.shape[1], _name_of(loader)
    tensors, chosen = _tensors_of(loader)
    if len(tensors) > 1 and tensors[-1].dtype == targets.dtype and tensors[-1].shape[1:] == targets.shape[1:]:
        labels = tensors[-1] if chosen is None else tensors[-1][torch.tensor(chosen, dtype=torch.int64)]
        indices: list[int] | None = None
    else:
        labels, known = targets, isinstance(loader, Loader) and number < len(loader)
        indices = loader.where(epoch, number) if known and isinstance(loader, Loader) else []
    wrong = (labels != ignore_index) & ((labels < 0) | (labels >= classes))
    if not wrong.any():  # host-device sync
        return
    place = tuple(wrong.nonzero()[0].tolist())
    row, label = place[0], int(labels[place])
    if indices is None:
        sample = f"sample {row}"
    else:
        known_row = len(indices) == len(labels)
        sample = f"sample {indices[row]}" if known_row else f"sample {row} of batch {number}"
    rows = int(wrong.flatten(1).any(1).sum()) if wrong.ndim > 1 else int(wrong.sum())
    kept = labels[labels != ignore_index]
    shifted = " (do they count from 1?)" if (int(kept.min()), int(kept.max())) == (1, classes) else ""
    raise ConfigError(
        f"data.{name}: {sample} has label {label}, but the model gives {classes} outputs: labels go from 0 to "
        f"{classes - 1}{shifted}; so it is with {rows} of {len(labels)} samples\n"
        f"  give the model more outputs (data.classes), or correct the labels; {ignore_index} marks one that is ignored"
    )


def shapes(batch: Any) -> str:
    """Return in words what a batch is made of: ``(float32 of shape (64, 1, 8, 8), int64 of shape (64,))``."""
    return form(batch)


def _name_of(loader: Any) -> str:
    return loader.name if isinstance(loader, Loader | Foreign) else "train"


def _tensors_of(loader: Any) -> tuple[tuple[Tensor, ...], list[int] | None]:
    """Return the tensors of a loader's data set, none if it is of another kind, and which rows of them it takes."""
    dataset = getattr(loader.loader if isinstance(loader, Foreign) else loader, "dataset", None)
    chosen: list[int] | None = None
    while type(dataset) is Subset:
        chosen = list(dataset.indices) if chosen is None else [dataset.indices[i] for i in chosen]
        dataset = dataset.dataset
    return tensors_of(dataset), chosen


def _first_bad_row(tensor: Tensor, chosen: list[int] | None) -> int | None:
    """Return the first row that holds a number which is not finite."""
    rows = len(tensor) if chosen is None else len(chosen)
    size = max(CHUNK_BYTES // max(tensor[:1].nbytes, 1), 1)
    chunks = -(-rows // size)
    most = max(MOST_BYTES // CHUNK_BYTES, 1)
    for number in range(chunks) if chunks <= most else numpy.linspace(0, chunks - 1, most).astype(int).tolist():
        start = number * size
        part = tensor[start : start + size]
        if chosen is not None:
            part = tensor[torch.tensor(chosen[start : start + size], dtype=torch.int64)]
        if part.sum().isfinite():  # host-device sync; a sum is sooner taken than each number looked at
            continue
        bad = ~part.flatten(1).isfinite().all(1) if part.ndim > 1 else ~part.isfinite()
        if bad.any():
            return start + int(bad.nonzero()[0])
    return None


def _inspect_batch(batch: Any, indices: list[int], name: str) -> None:
    for path, tensor in _leaves(batch, ""):
        if not tensor.ndim or not tensor.is_floating_point() or (row := _first_bad_row(tensor, None)) is None:
            continue
        known = len(indices) == len(tensor)
        raise ConfigError(_not_finite(name, indices[row] if known else row, path, tensor[row], "" if known else "?"))


def _not_finite(name: str, index: int, part: str, sample: Tensor, doubt: str = "") -> str:
    places = (~sample.isfinite()).nonzero()
    value = float(sample[tuple(places[0])])
    column = ", ".join(map(str, places[0].tolist()))
    where = f"at [{column}]" if places.shape[1] > 1 else f"in column {column}" if column else "as its value"
    which = f"sample {index}" if not doubt else f"sample {index} of the first batch"
    more = f" ({len(places)} such numbers in this sample)" if len(places) > 1 else ""
    return (
        f"data.{name}: {which} has {value} {where}{f' of its {part}' if part else ''}{more}; a training cannot learn "
        "from numbers that are not finite: drop such samples, or fill in what is missing"
    )


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a batch with their places in it."""
    if isinstance(value, Tensor):
        yield f"part {path}" if path else "", value
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _leaves(item, f"{path}[{number}]")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{path}[{key!r}]")
