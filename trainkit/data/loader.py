"""The keyed loader: what batch k of epoch e holds, to the last random pixel, depends on the seed and nothing else."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from trainkit.data.deaths import pids_in, unknown_death
from trainkit.data.failures import LeftOut
from trainkit.data.fetch import Fetch
from trainkit.data.fingerprint import Fingerprint, fingerprint_of, tensors_of
from trainkit.data.foreign import Foreign, require_choices
from trainkit.data.worker import Partial
from trainkit.data.workers import Workers
from trainkit.device import map_tensors
from trainkit.errors import ConfigError, TrainingError
from trainkit.keys import fold, permutation

TIMEOUT = 300.0
"""Seconds for which a batch of workers may keep the training waiting."""
WARNED = 5
"""How many samples that were left out are told of one by one."""

log = logging.getLogger(__name__)


class Loader:
    """Batches of a map-style data set in a keyed order, with keyed random augmentation.

    The order of epoch e is the permutation of key (seed, e); before sample i is fetched, the generators of torch,
    numpy and ``random`` are set to key (seed, e, i). So batches are the same for any ``num_workers`` and prefetch
    depth, and reading may begin at any batch without fetching those before it.

    A ``TensorDataset`` is read a whole batch at a time. A data set's ``__getitems__(indices)`` may return the list of
    samples or, being anything but a list, the finished batch; its draws are keyed by the batch's first sample.

    Args:
        dataset: A data set with ``__getitem__`` and ``__len__``.
        batch_size: Samples in a batch.
        shuffle: Permute the samples anew in every epoch.
        num_workers: Processes that fetch; 0 fetches in this one.
        seed: Where all keys of this loader come from.
        drop_last: Leave out a last batch that is smaller.
        collate_fn: Makes a batch of a list of samples; torch's default otherwise.
        name: What messages call the data set: ``train`` is ``data.train``.
        on_error: What a sample that raises does: ``stop`` the run, or ``skip`` that sample and be counted.
        max_errors: How many samples may be left out before the run is stopped all the same.
        changed: What :meth:`load_state_dict` does if the data are no longer those of the checkpoint: ``refuse`` or
            ``allow``.
        worker_options: ``pin_memory``, which counts where there is a CUDA device, ``timeout``, the seconds for which a
            batch of the workers may keep the training waiting (300; 0 for any time), and for workers whatever
            ``torch.utils.data.DataLoader`` takes.

    Raises:
        ConfigError: For an iterable data set, an empty one, a batch size below 1, or an unknown choice.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        batch_size: int = 1,
        *,
        shuffle: bool = False,
        num_workers: int = 0,
        seed: int = 0,
        drop_last: bool = False,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        name: str = "train",
        on_error: str = "stop",
        max_errors: int = 100,
        changed: str = "refuse",
        **worker_options: Any,
    ) -> None:
        if isinstance(dataset, IterableDataset):
            raise ConfigError(
                "Loader needs a data set with an index; give a torch DataLoader of the iterable one instead"
            )
        if batch_size < 1:
            raise ConfigError(f"batch_size={batch_size}: must be at least 1")
        require_choices(on_error, max_errors, changed, worker_options.get("timeout", TIMEOUT))
        self.dataset, self.batch_size, self.num_workers = dataset, batch_size, num_workers
        self.shuffle, self.drop_last, self.name = shuffle, drop_last, name
        self.on_error, self.max_errors, self.changed = on_error, max_errors, changed
        self.pin_memory = bool(worker_options.pop("pin_memory", False)) and torch.cuda.is_available()
        self.timeout = float(worker_options.pop("timeout", TIMEOUT))
        self.collate_fn = collate_fn
        self._key = fold(seed, "data")
        self._fetch = Fetch(dataset, collate_fn, fold(self._key, "sample"), name, on_error == "skip")
        self._workers: list[Workers] = []
        self._worker_options = worker_options
        self._left_out: set[int] = set()
        self._fingerprint: Fingerprint | None = None
        self._epoch = 0
        if len(self) == 0:
            size = len(dataset)  # type: ignore[arg-type]
            raise ConfigError(
                f"data.{name}: a data set of {size} samples gives no batch of {batch_size} (drop_last={drop_last})"
            )

    def __len__(self) -> int:
        size = len(self.dataset)  # type: ignore[arg-type]
        return size // self.batch_size if self.drop_last else -(-size // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches of the next epoch: 0 at the first call, then 1, and so on."""
        self._epoch += 1
        return self.batches(self._epoch - 1)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """Yield the batches of ``epoch`` from number ``start`` on.

        Raises:
            TrainingError: If a sample cannot be fetched or does not fit its batch, or a worker dies or hangs.
        """
        if self.num_workers > 0:
            return self._from_workers(epoch, start)
        read = self._fetch.read if self.on_error == "stop" else self._read_and_count
        fetched = (read(epoch, indices) for indices in self.indices(epoch, start))
        return (map_tensors(batch, Tensor.pin_memory) for batch in fetched) if self.pin_memory else fetched

    def windows(self, epoch: int, start: int, stop: int | None, size: int) -> Iterator[Sequence[Any]]:
        """Yield batches ``start`` to ``stop`` of ``epoch`` in lists of ``size``, the last one shorter if need be.

        Each list is a window: the food of one optimizer step.
        """
        rest = self.batches(epoch, start)
        if stop is not None:
            rest = islice(rest, max(stop - start, 0))
        if size == 1:
            return map(_alone, rest)  # a generator would hold on to the batch while the next one is fetched
        return iter(lambda: list(islice(rest, size)), [])

    def indices(self, epoch: int, start: int = 0) -> Iterator[Tensor]:
        """Yield the indices of each batch of ``epoch`` from number ``start`` on, as tensors of integers."""
        size = len(self.dataset)  # type: ignore[arg-type]
        if start >= len(self):  # torch would split nothing into one empty batch
            return iter(())
        order = permutation(fold(self._key, "order", epoch), size) if self.shuffle else torch.arange(size)
        return iter(order[start * self.batch_size : len(self) * self.batch_size].split(self.batch_size))

    def where(self, epoch: int, number: int) -> list[int]:
        """Return the indices of the samples in batch ``number`` of ``epoch``."""
        chosen: list[int] = next(self.indices(epoch, number)).tolist()
        return chosen

    def fetch(self, epoch: int, number: int) -> Any:
        """Return batch ``number`` of ``epoch``; samples left out of it are not counted.

        Where workers read the data, one of them does it: files that this process opened would be of no use to others.
        """
        (indices,) = islice(self.indices(epoch, number), 1)
        if self.num_workers and not tensors_of(self.dataset):
            options = {"multiprocessing_context": self._worker_options.get("multiprocessing_context")}
            options["worker_init_fn"] = self._worker_options.get("worker_init_fn")
            worker = Workers(self._fetch, 1, self.timeout, options)
            (batch,) = worker.batches(epoch, iter([indices]), _without_notes)
            return batch
        try:
            return self._fetch.read(epoch, indices)
        finally:
            self._fetch.take_left_out()

    def first(self) -> Any:
        """Return the first batch of epoch 0, fetched in this process."""
        return self.fetch(0, 0)

    @property
    def errors(self) -> int:
        """How many samples ``on_error=skip`` has left out; each counts once, however often it was tried."""
        return len(self._left_out)

    def state_dict(self) -> dict[str, Any]:
        """Return what tells these data from others, and which samples were left out so far."""
        if self._fingerprint is None:
            self._fingerprint = fingerprint_of(self)
        return {**self._fingerprint.state_dict(), "errors": sorted(self._left_out)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what ``state_dict`` returned.

        Raises:
            ConfigError: If the data are others, with each difference.
        """
        if self._fingerprint is None:
            self._fingerprint = fingerprint_of(self)
        self._fingerprint.compare(state_dict, self.name, self.changed)
        self._left_out = set(state_dict.get("errors", ()))

    def _from_workers(self, epoch: int, start: int) -> Iterator[Any]:
        free = next((workers for workers in self._workers if workers.alive and not workers.busy), None)
        self._workers = [workers for workers in self._workers if workers.alive]
        if free is None:  # another iteration may be under way, which must not be disturbed
            free = Workers(self._fetch, self.num_workers, self.timeout, self._options())
            self._workers.append(free)
        yield from free.batches(epoch, self.indices(epoch, start), self._taken)

    def _options(self) -> dict[str, Any]:
        return {**self._worker_options, "pin_memory": self.pin_memory}

    def _taken(self, batch: Any) -> Any:
        if type(batch) is not Partial:
            return batch
        self._count(batch.left_out)
        return batch.batch

    def _read_and_count(self, epoch: int, indices: Tensor) -> Any:
        batch = self._fetch.read(epoch, indices)
        if self._fetch.left_out:
            self._count(self._fetch.take_left_out())
        return batch

    def _count(self, left_out: list[LeftOut]) -> None:
        """Count the samples that a batch lacks, now that the batch is used."""
        for sample, reason in left_out:
            if sample in self._left_out:
                continue
            self._left_out.add(sample)
            if self.errors > self.max_errors:
                raise TrainingError(
                    f"data.{self.name}: {self.errors} samples had to be left out, more than data.max_errors="
                    f"{self.max_errors}; the last one: {reason}"
                )
            if self.errors <= WARNED:
                last = "; from now on they are only counted" if self.errors == WARNED else ""
                log.warning("left out (data.on_error=skip): %s%s", reason, last)


def _without_notes(batch: Any) -> Any:
    return batch.batch if type(batch) is Partial else batch


def explained(error: BaseException, *sources: Iterable[Any]) -> TrainingError | None:
    """Return in clear words what torch says of a dead worker; None for any other error.

    torch raises that error in the main thread wherever it stands, even in the midst of a training step.

    Args:
        error: What was raised.
        sources: The loaders whose workers it may be about.
    """
    if not pids_in(error):
        return None
    crews = (workers for source in sources if isinstance(source, Loader) for workers in source._workers)
    told = next((words for workers in crews if (words := workers.explain(error))), None)
    return unknown_death(error) if told is None else TrainingError(told)


def length(loader: Iterable[Any] | None) -> int | None:
    """Return the number of batches, or None where the loader does not know it."""
    try:
        return len(loader)  # type: ignore[arg-type]
    except TypeError:
        return None


Source: TypeAlias = Loader | Foreign
"""Where a run's batches come from, alone or in windows; both can be saved and gone on with."""


def as_source(loader: Iterable[Any], key: int) -> Source:
    """Return a :class:`Loader` as it is, and what makes any other loader repeatable; its randomness is of ``key``."""
    return loader if isinstance(loader, Loader | Foreign) else Foreign(loader, key)


def _alone(batch: Any) -> list[Any]:
    return [batch]


def samples_in(batch: Any) -> int:
    """Return the number of samples in a batch of any nesting: the length of its first tensor."""
    while not isinstance(batch, Tensor):
        if isinstance(batch, (tuple, list)) and batch:  # first: it is the usual case, and Mapping is slow to ask for
            batch = batch[0]
        elif isinstance(batch, Mapping):
            batch = next(iter(batch.values()), None)
        else:
            return 1
    return batch.shape[0] if batch.ndim else 1
