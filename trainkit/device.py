"""The device: picking one, moving batches of any nesting to it, and setting the process up for it."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from trainkit.errors import ConfigError
from trainkit.settings import Settings


def pick(name: str) -> torch.device:
    """Return the device called ``name``: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.

    Raises:
        ConfigError: If the machine has no such device; the message lists those it has.
    """
    here = ["cpu"] + [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        here.append("mps")
    if name == "auto":
        name = next((d for d in ("cuda:0", "mps") if d in here), "cpu")
    try:
        device = torch.device("cuda:0" if name == "cuda" else name)
    except RuntimeError:
        raise ConfigError(f"trainer.device={name}: no such device; this machine has {', '.join(here)}") from None
    if str(device) not in here:
        raise ConfigError(f"trainer.device={name}: not on this machine, which has {', '.join(here)}")
    return device


def map_tensors(
    batch: Any, function: Callable[[Tensor], Tensor], other: Callable[[Any], Any] = lambda other: other
) -> Any:
    """Return ``batch`` with ``function`` applied to each tensor in it.

    Goes into lists, tuples (also named ones), mappings and dataclasses. ``other`` is applied to objects with a ``to``
    of their own (a ``PackedSequence``, a graph batch); everything else is returned as it is.
    """
    if isinstance(batch, Tensor):
        return function(batch)
    if hasattr(batch, "to"):
        return other(batch)
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(map_tensors(item, function, other) for item in batch))
    if type(batch) in (list, tuple):
        return type(batch)(map_tensors(item, function, other) for item in batch)
    if isinstance(batch, Mapping):
        items = {key: map_tensors(item, function, other) for key, item in batch.items()}
        return items if type(batch) is dict else type(batch)(**items)
    if is_dataclass(batch) and not isinstance(batch, type):
        return replace(
            batch, **{f.name: map_tensors(getattr(batch, f.name), function, other) for f in fields(batch) if f.init}
        )
    return batch


def mover(device: torch.device) -> Callable[[Any], Any]:
    """Return the function that moves a batch of any nesting to ``device``; the batch itself for the CPU.

    Copies from pinned memory do not block; others do what they must.
    """
    if device.type == "cpu":
        return lambda batch: batch

    return lambda batch: map_tensors(
        batch, lambda tensor: tensor.to(device, non_blocking=True), lambda other: other.to(device)
    )


@contextmanager
def configured(settings: Settings) -> Iterator[None]:
    """Set threads, deterministic kernels and anomaly detection for the time of a fit, and put them back."""
    before = (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.is_anomaly_enabled())
    if isinstance(settings.threads, int):
        torch.set_num_threads(settings.threads)
    elif settings.threads == "auto" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(_measured_threads())
    if settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with it
        torch.use_deterministic_algorithms(True)
    if settings.detect_anomaly:
        torch.autograd.set_detect_anomaly(True)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        torch.autograd.set_detect_anomaly(before[2])


def _measured_threads() -> int:
    """Return one thread or as many as torch has now, whichever multiplies a middling matrix sooner on this machine.

    On a busy machine two OpenMP threads wait for each other at every barrier and can be ten times slower than one.
    """
    most = torch.get_num_threads()
    x = torch.ones(256, 512)
    weight = torch.ones(512, 512)

    def seconds(threads: int) -> float:
        torch.set_num_threads(threads)
        times = []
        for _ in range(12):
            start = time.perf_counter()
            torch.relu(x @ weight)
            times.append(time.perf_counter() - start)
        return statistics.median(times[2:])

    return min((1, most), key=seconds)
