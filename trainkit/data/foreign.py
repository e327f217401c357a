"""Loaders of other makers: any iterable of batches, made repeatable as far as can be."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from copy import deepcopy
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset

from trainkit.data.fingerprint import Fingerprint, fingerprint_of
from trainkit.data.worker import start_worker
from trainkit.errors import ConfigError, closest
from trainkit.keys import Streams, fold, generator

log = logging.getLogger(__name__)


class Foreign:
    """A loader that is no :class:`trainkit.Loader`: a torch ``DataLoader``, a list of batches, any iterable.

    The global generators and the loader's own are keyed before an epoch starts, the global ones again before each
    batch, and its sampler is told the epoch. An epoch is gone on with by the ``state_dict`` of the loader, or else of
    its data set where that is read in this process; where neither has one, the batches before the place are fetched
    and thrown away.

    Args:
        loader: The iterable.
        key: Where its randomness comes from.
        name: What messages call it: ``data.train``.
        changed: What :meth:`load_state_dict` does if the data are no longer those of the checkpoint: ``refuse`` or
            ``allow``.
    """

    def __init__(self, loader: Iterable[Any], key: int, name: str = "train", changed: str = "refuse") -> None:
        self.loader, self.name, self.changed = loader, name, changed
        self._key = key
        self._fingerprint: Fingerprint | None = None
        self._begun, self._over = False, False
        self._position: dict[str, Any] = {}
        self._before: dict[str, Any] = {}  # where the last window of batches began: it may have been broken off
        self._epoch = 0

    def __len__(self) -> int:
        """Return the number of batches; a ``TypeError`` says that it is not known."""
        return len(self.loader)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches of the next epoch: 0 at the first call, then 1, and so on."""
        self._epoch += 1
        return self.batches(self._epoch - 1)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """Yield the batches of ``epoch`` from number ``start`` on."""
        return _batches(self, epoch, start, fold(self._key, "loader", epoch))

    def windows(self, epoch: int, start: int, stop: int | None, size: int) -> Iterator[list[Any]]:
        """Yield batches ``start`` to ``stop`` of ``epoch`` in lists of ``size``, the last one shorter if need be.

        One that a signal breaks off has moved the loader or its data set, but is not trained on; so it is noted where
        each of them begins.
        """
        if (self._before.get("epoch"), self._before.get("batch")) == (epoch, start):
            self._go_to(self._before["position"], self._before["over"])
        elif start and self._begun:
            self._go_to(**self._here())
        rest = self.batches(epoch, start)
        rest = rest if stop is None else islice(rest, max(stop - start, 0))
        number, knows = start, _owner_of_position(self.loader) is not None

        def window() -> list[Any]:
            nonlocal number
            if knows:
                self._before = {"epoch": epoch, "batch": number, **deepcopy(self._here())}
            batches = list(islice(rest, size))
            number += len(batches)
            return batches

        return iter(window, [])

    def first(self) -> Any:
        """Return the first batch of a loader that can be read anew, which stays where it is; None if it gives none."""
        owner, begun, over = _owner_of_position(self.loader), self._begun, self._over
        position = None if owner is None else owner.state_dict()
        batch = next(self.batches(0), None)
        if owner is not None:
            owner.load_state_dict(position)
        self._begun, self._over = begun, over
        return batch

    def state_dict(self) -> dict[str, Any]:
        """Return what tells these data from others, and the position of a loader or data set that knows its own."""
        if self._fingerprint is None:
            self._fingerprint = fingerprint_of(self.loader)
        return {**self._fingerprint.state_dict(), **self._here(), "before": self._before}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what ``state_dict`` returned.

        Raises:
            ConfigError: If the data are others, with each difference.
        """
        if self._fingerprint is None:
            self._fingerprint = fingerprint_of(self.loader)
        self._fingerprint.compare(state_dict, self.name, self.changed)
        self._before = dict(state_dict.get("before", {}))
        self._go_to(state_dict.get("position", {}), bool(state_dict.get("over", False)))

    def _here(self) -> dict[str, Any]:
        owner = _owner_of_position(self.loader)
        if owner is not None and self._begun:  # before, some start their workers only to be asked
            self._position = owner.state_dict()
        return {"position": self._position, "over": self._over}

    def _go_to(self, position: dict[str, Any], over: bool) -> None:
        self._position, self._over = position, over
        owner = _owner_of_position(self.loader)
        if owner is not None and position:
            owner.load_state_dict(position)
            self._begun = False

    def _begin(self, start: int) -> bool:
        """Say whether the loader, once started, begins at ``start`` by itself; note that it has begun."""
        restored = bool(self._position) and not self._begun and _owner_of_position(self.loader) is not None
        self._begun = True
        if start and not restored:
            log.warning(
                "data.%s cannot go to batch %d at once: it is no trainkit.Loader, and neither it nor its data set has "
                "a state_dict (or workers read it), so %d batches are fetched and thrown away",
                self.name,
                start,
                start,
            )
        return restored


def keyed_stream(
    dataset: IterableDataset[Any],
    batch_size: int,
    *,
    seed: int,
    name: str = "train",
    changed: str = "refuse",
    timeout: float = 300.0,
    **options: Any,
) -> Foreign:
    """Return the loader of an iterable data set, whose workers behave as those of a :class:`Loader`.

    Args:
        dataset: With several workers, each reads a copy; ``torch.utils.data.get_worker_info`` says which part is its.
        batch_size: Samples in a batch.
        seed: Where its randomness comes from.
        name, changed: As for :class:`Foreign`.
        timeout: Seconds for which a worker's batch may keep the training waiting; 0 for any time.
        options: For torch's ``DataLoader``: ``num_workers`` and so on.

    Raises:
        ConfigError: For an unknown choice, or ``on_error=skip``, which a stream has no way to do.
    """
    on_error = options.pop("on_error", "stop")
    require_choices(on_error, options.pop("max_errors", 100), changed, timeout)
    if on_error == "skip":
        raise ConfigError(
            f"data.on_error=skip: {type(dataset).__name__} is iterable, so no sample of it can be asked for anew; "
            "let it leave out itself what it cannot read"
        )
    options["pin_memory"] = bool(options.get("pin_memory")) and torch.cuda.is_available()
    if options.get("num_workers"):
        main_thread = threading.current_thread() is threading.main_thread()
        options |= {"timeout": timeout, "worker_init_fn": partial(start_worker, None, None, main_thread)}
    return Foreign(DataLoader(dataset, batch_size, generator=generator(seed), **options), seed, name, changed)


def require_choices(on_error: Any, max_errors: Any, changed: Any, timeout: Any) -> None:
    """Raise a :class:`ConfigError` for a choice that there is not."""
    for key, value, allowed in (("on_error", on_error, ("stop", "skip")), ("changed", changed, ("refuse", "allow"))):
        if value not in allowed:
            raise ConfigError(f"data.{key}={value}: must be {' or '.join(allowed)}{closest(str(value), allowed)}")
    if type(max_errors) is not int or max_errors < 0:
        raise ConfigError(f"data.max_errors={max_errors}: must be a whole number, at least 0")
    if type(timeout) not in (int, float) or not 0 <= timeout < float("inf"):
        raise ConfigError(f"data.timeout={timeout}: must be a number of seconds, 0 for no limit")


def _batches(source: Foreign, epoch: int, start: int, key: int) -> Iterator[Any]:
    loader: Any = source.loader
    over, source._over = source._over, False
    if over and start:  # the epoch was read to its end, and the loader stands at the beginning of the next one
        source._over = True
        return
    streams = Streams()
    batch_sampler = getattr(loader, "batch_sampler", None)
    if callable(set_epoch := getattr(getattr(loader, "dataset", None), "set_epoch", None)):  # a stream that shuffles
        set_epoch(epoch)
    for owner in (loader, getattr(loader, "sampler", None), batch_sampler, getattr(batch_sampler, "sampler", None)):
        if callable(set_epoch := getattr(owner, "set_epoch", None)):
            set_epoch(epoch)
        if isinstance(own := getattr(owner, "generator", None), torch.Generator):
            own.manual_seed(key)
    streams.seed(key)
    restored = source._begin(start)
    iterator = iter(loader)
    for number in range(start if restored else 0, 10**18):
        streams.seed(fold(key, number))
        batch = next(iterator, iterator)
        if batch is iterator:
            source._over = True
            return
        if number >= start:
            yield batch
        del batch  # its memory is free for the next one


def _owner_of_position(loader: Any) -> Any:
    """Return what knows how far an epoch has been read: the loader, else its data set if no workers have copies."""
    for owner in (loader, None if getattr(loader, "num_workers", 0) else getattr(loader, "dataset", None)):
        if callable(getattr(owner, "state_dict", None)) and callable(getattr(owner, "load_state_dict", None)):
            return owner
    return None
