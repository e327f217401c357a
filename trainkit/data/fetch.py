"""Fetching one batch, the same in every process: keyed draws, and every failure turned into plain words at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.data import Dataset, Subset, TensorDataset, default_collate

from trainkit.data.board import COLLATING
from trainkit.data.failures import (
    NO_SHARED_MEMORY,
    WORKER_DIED,
    LeftOut,
    form,
    name_of,
    odd_ones,
    sample_failed,
    shared_memory,
    words_of,
)
from trainkit.errors import TrainingError
from trainkit.frames import user_frames
from trainkit.keys import Streams, fold

FAILURES = (Exception, SystemExit)
"""What fails a sample: a data set may raise anything, and an ``exit()`` in it must not pass for the training's."""


class Fetch(Dataset[Any]):
    """Fetches and collates batches of a data set.

    Args:
        dataset: A data set with ``__getitem__`` or ``__getitems__``.
        collate_fn: Makes a batch of a list of samples; torch's default otherwise.
        key: Where the samples' randomness comes from.
        name: What messages call the data set: ``train``.
        skip: Leave out samples that fail, and note them in ``left_out``.
    """

    def __init__(
        self, dataset: Dataset[Any], collate_fn: Callable[[list[Any]], Any] | None, key: int, name: str, skip: bool
    ) -> None:
        self.name, self.left_out = name, list[LeftOut]()
        self._dataset, self._collate, self._key, self._skip = dataset, collate_fn or default_collate, key, skip
        self._tensors = dataset.tensors if type(dataset) is TensorDataset and collate_fn is None else None
        inner: Any = dataset
        while type(inner) is Subset:  # has a __getitems__ whatever it wraps
            inner = inner.dataset
        self._getitems = getattr(dataset, "__getitems__", None) if hasattr(inner, "__getitems__") else None
        self._streams = Streams()
        self.watch: Callable[[int], None] | None = None
        """In a worker, is told the index of each sample before it is fetched."""

    def read(self, epoch: int, indices: Any) -> Any:
        """Return the batch of ``indices`` as they are drawn in ``epoch``.

        Raises:
            TrainingError: That names the sample which cannot be fetched, or does not fit its batch.
        """
        if self._tensors is not None:
            chosen = torch.as_tensor(indices)
            return tuple(tensor.index_select(0, chosen.to(tensor.device)) for tensor in self._tensors)
        key, numbers = fold(self._key, epoch), indices.tolist()
        if self._getitems is not None:
            return self._read_at_once(epoch, key, numbers)
        seed, watch, samples, kept = self._streams.seed, self.watch, [], numbers
        for number in numbers:
            if watch is not None:
                watch(number)
            try:
                seed(fold(key, number))
                samples.append(self._dataset[number])
            except FAILURES as error:
                self._failed(number, epoch, error)
                kept = [other for other in kept if other != number]
        return self._collated(samples, kept, numbers, epoch)

    def about(self, number: int, epoch: int) -> str:
        """Return the name of a sample, where it has one, and the epoch as people count it."""
        name = name_of(self._dataset, number)
        return (f"sample {name!r}, " if name else "") + f"epoch {epoch + 1}"

    def take_left_out(self) -> list[LeftOut]:
        """Return the samples that were left out since the last call."""
        taken, self.left_out = self.left_out, []
        return taken

    def _read_at_once(self, epoch: int, key: int, numbers: list[int]) -> Any:
        assert self._getitems is not None
        if self.watch is not None:
            self.watch(numbers[0])
        kept = numbers
        try:
            self._streams.seed(fold(key, numbers[0]))
            samples = self._getitems(numbers)
        except FAILURES as error:
            kept = self._without_failing(epoch, key, numbers, error)
            if not kept:
                raise self._nothing_left(numbers, epoch) from None
            self._streams.seed(fold(key, kept[0]))
            try:
                samples = self._getitems(kept)
            except FAILURES as second:
                raise self._batch_failed(kept, epoch, second) from None
        return self._collated(samples, kept, numbers, epoch) if isinstance(samples, list) else samples

    def _without_failing(self, epoch: int, key: int, numbers: list[int], error: BaseException) -> list[int]:
        """Return the numbers that can be fetched alone, for ``__getitems__`` does not say which sample failed."""
        assert self._getitems is not None
        _let_pass(error)
        kept = []
        for number in numbers:
            try:
                self._streams.seed(fold(key, number))
                self._getitems([number])
                kept.append(number)
            except FAILURES as own:
                self._failed(number, epoch, own)
        if len(kept) == len(numbers):
            raise self._batch_failed(numbers, epoch, error) from None
        return kept

    def _batch_failed(self, numbers: list[int], epoch: int, error: BaseException) -> TrainingError:
        listed = ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else "")
        return TrainingError(sample_failed(f"data.{self.name}[[{listed}]]", error, f"epoch {epoch + 1}"))

    def _failed(self, number: int, epoch: int, error: BaseException) -> None:
        """Note a sample that raised, or end the run where such are not skipped."""
        _let_pass(error)
        reason = sample_failed(f"data.{self.name}[{number}]", error, self.about(number, epoch))
        if not self._skip:
            advice = "data.on_error=skip leaves such samples out and counts them"
            raise TrainingError(f"{reason}\n  {advice}") from None
        self.left_out.append(LeftOut(number, reason))

    def _collated(self, samples: list[Any], kept: list[int], numbers: list[int], epoch: int) -> Any:
        if not samples:
            raise self._nothing_left(numbers, epoch)
        if self.watch is not None:
            self.watch(COLLATING)
        try:
            return self._collate(samples)
        except Exception as error:  # noqa: BLE001
            _let_pass(error)
            odd = odd_ones(samples)
            if not self._skip or not odd:
                raise TrainingError(self._uncollatable(samples, kept, epoch, error, odd)) from None
            self.left_out += [LeftOut(kept[place], self._misfit(kept[place], epoch, odd[place])) for place in odd]
            fits = [place for place in range(len(samples)) if place not in odd]
            return self._collated([samples[i] for i in fits], [kept[i] for i in fits], numbers, epoch)

    def _misfit(self, number: int, epoch: int, difference: str) -> str:
        return f"data.{self.name}[{number}] does not fit its batch: {difference} ({self.about(number, epoch)})"

    def _uncollatable(
        self, samples: list[Any], kept: list[int], epoch: int, error: Exception, odd: dict[int, str]
    ) -> str:
        if odd:
            place, difference = next(iter(odd.items()))
            advice = "data.on_error=skip leaves such samples out; a collate_fn of your own may pad them"
            return f"{self._misfit(kept[place], epoch, difference)}\n  {advice}"
        if NO_SHARED_MEMORY.search(str(error)):
            return f"data.{self.name}: a worker has no room for a batch: {shared_memory()}\n  {words_of(error)}"
        forms = list(dict.fromkeys(form(sample) for sample in samples))
        made = (
            f"samples such as {forms[0]}"
            if len(forms) == 1
            else f"samples of {len(forms)} forms: {'; '.join(forms[:3])}"
        )
        frames = user_frames(error.__traceback__) if self._collate is not default_collate else ""
        return (
            f"data.{self.name}: no batch can be made of {len(samples)} samples from {kept[0]} on (epoch {epoch + 1}): "
            f"{words_of(error)}{chr(10) + frames if frames else ''}\n  {made}; a collate_fn of your own can join them"
        )

    def _nothing_left(self, numbers: list[int], epoch: int) -> TrainingError:
        first = self.left_out[0].reason if self.left_out else ""
        return TrainingError(
            f"data.{self.name}: none of the {len(numbers)} samples of a batch can be fetched (epoch {epoch + 1}); "
            f"the first one: {first}"
        )


def _let_pass(error: BaseException) -> None:
    """Raise again what is not the data set's own: torch tells of a dead worker wherever the main thread stands."""
    if isinstance(error, RuntimeError) and WORKER_DIED.search(str(error)):
        raise error
