"""The keyed loader: what batch k of epoch e holds, to the last random pixel, depends on the seed and nothing else."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from threading import Thread
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset, default_collate

from trainkit.device import map_tensors
from trainkit.errors import ConfigError
from trainkit.keys import Streams, fold, permutation


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
        worker_options: ``pin_memory``, which counts where there is a CUDA device, and for workers whatever
            ``torch.utils.data.DataLoader`` takes.

    Raises:
        ConfigError: For an iterable data set, an empty one, or a batch size below 1.
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
        **worker_options: Any,
    ) -> None:
        if isinstance(dataset, IterableDataset):
            raise ConfigError(
                "Loader needs a data set with an index; give a torch DataLoader of the iterable one instead"
            )
        if batch_size < 1:
            raise ConfigError(f"batch_size={batch_size}: must be at least 1")
        self.dataset, self.batch_size, self.num_workers = dataset, batch_size, num_workers
        self.shuffle, self.drop_last = shuffle, drop_last
        self.pin_memory = bool(worker_options.pop("pin_memory", False)) and torch.cuda.is_available()
        self._key = fold(seed, "data")
        self._fetch = _Fetch(dataset, collate_fn, fold(self._key, "sample"))
        self._order = _Order()
        self._workers: DataLoader[Any] | None = None
        self._worker_options = worker_options
        self._epoch = 0
        if len(self) == 0:
            size = len(dataset)  # type: ignore[arg-type]
            raise ConfigError(f"a data set of {size} samples gives no batch of {batch_size} (drop_last={drop_last})")

    def __len__(self) -> int:
        size = len(self.dataset)  # type: ignore[arg-type]
        return size // self.batch_size if self.drop_last else -(-size // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches of the next epoch: 0 at the first call, then 1, and so on."""
        self._epoch += 1
        return self.batches(self._epoch - 1)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """Yield the batches of ``epoch`` from number ``start`` on."""
        if self.num_workers > 0:
            return self._from_workers(epoch, start)
        fetched = (self._fetch.__getitems__((epoch, indices)) for indices in self.indices(epoch, start))
        return (map_tensors(batch, Tensor.pin_memory) for batch in fetched) if self.pin_memory else fetched

    def indices(self, epoch: int, start: int = 0) -> Iterator[Tensor]:
        """Yield the indices of each batch of ``epoch`` from number ``start`` on, as tensors of integers."""
        size = len(self.dataset)  # type: ignore[arg-type]
        if start >= len(self):  # torch would split nothing into one empty batch
            return iter(())
        order = permutation(fold(self._key, "order", epoch), size) if self.shuffle else torch.arange(size)
        return iter(order[start * self.batch_size : len(self) * self.batch_size].split(self.batch_size))

    def first(self) -> Any:
        """Return the first batch of epoch 0, fetched in this process."""
        return self._fetch.__getitems__((0, next(self.indices(0))))

    def _from_workers(self, epoch: int, start: int) -> Iterator[Any]:
        if self._workers is None:
            self._workers = DataLoader(
                self._fetch,
                batch_sampler=self._order,  # type: ignore[arg-type]
                collate_fn=_as_it_is,
                num_workers=self.num_workers,
                pin_memory=self.pin_memory,
                worker_init_fn=partial(_start_worker, self._worker_options.pop("worker_init_fn", None)),
                generator=torch.Generator(),  # so that starting workers draws nothing from the global generator
                **self._worker_options,
            )
        self._order.epoch, self._order.batches = epoch, self.indices(epoch, start)
        return iter(self._workers)


class _Order:
    """The batch sampler of the workers: tells them the epoch along with each batch's indices.

    It does not know the loader: in a reference cycle the queues would go before the workers are told to end.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.batches: Iterator[Tensor] = iter(())

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        epoch = self.epoch  # as arrays, which go through a queue as bytes; a tensor would take a file descriptor
        return ((epoch, indices.numpy()) for indices in self.batches)


class _Fetch(Dataset[Any]):
    """Fetches and collates one batch, the same in every process. Looks to torch's DataLoader like a data set."""

    def __init__(self, dataset: Dataset[Any], collate_fn: Callable[[list[Any]], Any] | None, key: int) -> None:
        self._dataset, self._collate, self._key = dataset, collate_fn or default_collate, key
        self._tensors = dataset.tensors if type(dataset) is TensorDataset and collate_fn is None else None
        inner: Any = dataset
        while type(inner) is Subset:  # has a __getitems__ whatever it wraps
            inner = inner.dataset
        self._getitems = getattr(dataset, "__getitems__", None) if hasattr(inner, "__getitems__") else None
        self._streams = Streams()

    def __getitems__(self, tagged: tuple[int, Any]) -> Any:
        epoch, indices = tagged
        if self._tensors is not None:
            chosen = torch.as_tensor(indices)
            return tuple(tensor.index_select(0, chosen.to(tensor.device)) for tensor in self._tensors)
        seed, key, numbers = self._streams.seed, fold(self._key, epoch), indices.tolist()
        if self._getitems is not None:
            seed(fold(key, numbers[0]))
            samples = self._getitems(numbers)
            return self._collate(samples) if isinstance(samples, list) else samples
        samples = []
        for number in numbers:
            seed(fold(key, number))
            samples.append(self._dataset[number])
        return self._collate(samples)


def _start_worker(then: Callable[[int], None] | None, worker: int) -> None:
    """Leave signals to the main process: a Ctrl-C reaches the workers too, and they must finish their batches."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # macOS has none; there a SIGTERM to the whole group ends the workers at once
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        Thread(target=_end_with_the_main_process, daemon=True).start()
    if then is not None:
        then(worker)


def _end_with_the_main_process() -> None:
    """Obey a SIGTERM of the main process, which sends one to workers that are left when it exits; ignore others."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


def _as_it_is(batch: Any) -> Any:
    return batch


def length(loader: Iterable[Any] | None) -> int | None:
    """Return the number of batches, or None where the loader does not know it."""
    try:
        return len(loader)  # type: ignore[arg-type]
    except TypeError:
        return None


def batches(loader: Iterable[Any], epoch: int, start: int, key: int) -> Iterator[Any]:
    """Yield the batches of ``epoch`` from number ``start`` on, of a :class:`Loader` or any other iterable.

    A foreign loader is made repeatable as far as can be: the global generators and its own are keyed before it starts,
    the global ones again before each batch, its sampler is told the epoch, and the batches before ``start`` are fetched
    and thrown away.
    """
    if isinstance(loader, Loader):
        return loader.batches(epoch, start)
    return _foreign(loader, epoch, start, fold(key, "loader", epoch))


def _foreign(loader: Any, epoch: int, start: int, key: int) -> Iterator[Any]:
    streams = Streams()
    batch_sampler = getattr(loader, "batch_sampler", None)
    for owner in (loader, getattr(loader, "sampler", None), batch_sampler, getattr(batch_sampler, "sampler", None)):
        if callable(set_epoch := getattr(owner, "set_epoch", None)):
            set_epoch(epoch)
        if isinstance(own := getattr(owner, "generator", None), torch.Generator):
            own.manual_seed(key)
    streams.seed(key)
    iterator = iter(loader)
    for number in range(10**18):
        streams.seed(fold(key, number))
        batch = next(iterator, iterator)
        if batch is iterator:
            return
        if number >= start:
            yield batch
        del batch  # its memory is free for the next one


def train_windows(
    loader: Iterable[Any], epoch: int, start: int, stop: int | None, size: int, key: int
) -> Iterator[Sequence[Any]]:
    """Yield batches ``start`` to ``stop`` of ``epoch`` in lists of ``size``, the last one shorter if need be.

    Each list is a window: the food of one optimizer step.
    """
    rest = batches(loader, epoch, start, key)
    if stop is not None:
        rest = islice(rest, max(stop - start, 0))
    if size == 1:
        return map(_alone, rest)  # a generator would hold on to the batch while the next one is fetched
    return iter(lambda: list(islice(rest, size)), [])


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
