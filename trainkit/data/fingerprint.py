"""The fingerprint of the data: what a checkpoint remembers, so that it never goes on with other samples unnoticed."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any

import numpy
import torch
from torch import Tensor
from torch.utils.data import Subset, TensorDataset

from trainkit.errors import ConfigError

MOST_BYTES = 2**23
"""Of tensors that are larger altogether, evenly chosen rows are hashed."""
MOST_FILES = 100_000
"""Of how many files the sizes are looked up; of more, those of evenly chosen ones. The names count all."""
PATHS = ("samples", "imgs", "paths", "files")
"""The attributes under which data sets of files keep their paths, alone or first in a tuple; torchvision's are two."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Fingerprint:
    """What makes the batches of a loader besides its seed. Unknown facts are None."""

    samples: int | None
    batch_size: int | None
    shuffle: int | None
    drop_last: int | None
    content: str

    def state_dict(self) -> dict[str, Any]:
        """Return the facts by name."""
        return asdict(self)

    def compare(self, other: dict[str, Any], name: str, changed: str) -> None:
        """Hold the facts of a checkpoint against these.

        Args:
            other: What :meth:`state_dict` returned then; empty for a checkpoint that has none.
            name: The data set: ``train``.
            changed: ``refuse`` or ``allow`` a difference; the latter is a warning in the log.

        Raises:
            ConfigError: That lists each difference and what can be done.
        """
        if not other:
            log.warning("the checkpoint does not say what data.%s was: whether it is the same cannot be known", name)
            return
        own = self.state_dict()
        if missing := sorted(own.keys() - other.keys()):
            raise ConfigError(f"the checkpoint is incomplete: of the data it has no {', '.join(missing)}")
        different = {key: value for key, value in own.items() if other[key] != value}
        if not different:
            return
        if "samples" in different:  # the content cannot be the same then, which says nothing new
            different.pop("content", None)
        told = [
            f"the content of data.{name} differs (values, file names or file sizes)"
            if key == "content"
            else f"{f'data.{name}: samples' if key == 'samples' else f'data.{key}'} {other[key]} -> {value}"
            for key, value in different.items()
        ]
        message = f"the data changed since the checkpoint: {'; '.join(told)}"
        if changed != "allow":
            raise ConfigError(
                f"{message}. Restore what was there; or data.changed=allow goes on all the same, no longer as the "
                "unbroken run would; or resume=weights:CHECKPOINT begins anew with the weights"
            )
        log.warning("%s; going on all the same (data.changed=allow)", message)


def fingerprint_of(loader: Any) -> Fingerprint:
    """Return the fingerprint of a :class:`trainkit.Loader`, a torch ``DataLoader``, or any iterable of batches."""
    dataset = getattr(loader, "dataset", None)
    samples = _length(dataset if dataset is not None else loader)
    batch_size, shuffle, drop_last = (
        fact if isinstance(fact := getattr(loader, name, None), int) else None
        for name in ("batch_size", "shuffle", "drop_last")
    )
    held = content(loader if dataset is None else dataset)
    return Fingerprint(samples, batch_size, shuffle, drop_last, held)


def content(dataset: Any) -> str:
    """Return a digest of what a data set holds, as far as it can be known without reading samples.

    That is: its own ``fingerprint()`` if it has one; of a data set of files the names below their common folder, the
    classes and the file sizes; of tensors and arrays with a row for each sample the bytes, those of evenly chosen rows
    where they are more than 8 MB; else its class and its length. Of a ``Subset`` also which samples it takes.
    """
    digest, chosen = blake2b(digest_size=16), None
    while type(dataset) is Subset:
        chosen = list(dataset.indices) if chosen is None else [dataset.indices[i] for i in chosen]
        dataset = dataset.dataset
    digest.update(f"{type(dataset).__qualname__} {_length(dataset)}".encode())
    if chosen is not None:
        digest.update(torch.tensor(chosen, dtype=torch.int64).numpy().tobytes())
    if callable(own := getattr(dataset, "fingerprint", None)):
        digest.update(str(own()).encode())
    elif paths := paths_of(dataset):
        _hash_files(digest, paths, getattr(dataset, "classes", None))
    elif arrays := _arrays_of(dataset):
        _hash_arrays(digest, arrays, chosen)
    return digest.hexdigest()


def tensors_of(dataset: Any) -> tuple[Tensor, ...]:
    """Return the tensors of a data set that holds all its samples as such; none of any other."""
    return tuple(dataset.tensors) if isinstance(dataset, TensorDataset) else ()


def paths_of(dataset: Any) -> list[tuple[str, Any]]:
    """Return path and label of each file of a data set of files, an empty list for other data sets."""
    for name in PATHS:
        listed = getattr(dataset, name, None)
        if isinstance(listed, list | tuple) and listed and len(listed) == _length(dataset):
            pairs = [(item[0], item[1:]) if isinstance(item, list | tuple) and item else (item, ()) for item in listed]
            if all(isinstance(path, str | os.PathLike) for path, _ in pairs):
                return [(os.fspath(path), label) for path, label in pairs]
    return []


def _arrays_of(dataset: Any) -> list[Any]:
    """Return the tensors and arrays with a row for each sample: those of a ``TensorDataset``, or any attributes."""
    if tensors := tensors_of(dataset):
        return list(tensors)
    found = [(name, value) for name, value in sorted(getattr(dataset, "__dict__", {}).items())]
    samples = _length(dataset)
    return [
        value
        for _, value in found
        if (isinstance(value, Tensor) and value.layout == torch.strided and value.ndim and len(value) == samples)
        or (isinstance(value, numpy.ndarray) and not value.dtype.hasobject and value.ndim and len(value) == samples)
    ]


def _hash_arrays(digest: Any, arrays: Sequence[Any], chosen: Sequence[int] | None) -> None:
    rows = len(arrays[0]) if chosen is None else len(chosen)
    row_bytes = sum(array.nbytes // max(len(array), 1) for array in arrays)
    most = max(MOST_BYTES // max(row_bytes, 1), 1)
    places = None if chosen is None else numpy.asarray(chosen, dtype=numpy.int64)
    if rows > most:
        even = numpy.linspace(0, rows - 1, most).astype(numpy.int64)
        places = even if places is None else places[even]
    for array in arrays:
        digest.update(f"{array.dtype} {tuple(array.shape)}".encode())
        if isinstance(array, Tensor):
            array = array.detach()
            part = array if places is None else array.index_select(0, torch.from_numpy(places).to(array.device))
            digest.update(part.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        else:
            part = array if places is None else array[places]
            digest.update(numpy.ascontiguousarray(part).reshape(-1).view(numpy.uint8))


def _hash_files(digest: Any, paths: Sequence[tuple[str, Any]], classes: Any) -> None:
    names = [path for path, _ in paths]
    root = len(_common_folder(min(names), max(names)))
    digest.update(str(classes).encode())
    step = -(-len(names) // MOST_FILES)
    for number, (path, label) in enumerate(paths):
        size = _size(path) if number % step == 0 else None
        digest.update(f"{path[root:].lstrip(os.sep)}\0{label}\0{size}\n".encode("utf-8", "surrogateescape"))


def _common_folder(first: str, last: str) -> str:
    """Return the folder of all paths of which these are the first and the last in order, as those are written."""
    folder = os.path.dirname(first)
    while folder and not last.startswith(folder + os.sep) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    return folder


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size
    except OSError:  # inside an archive, or gone: reading it will say so
        return None


def _length(dataset: Iterable[Any] | None) -> int | None:
    try:
        return len(dataset)  # type: ignore[arg-type]
    except TypeError:
        return None
