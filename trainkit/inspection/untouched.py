"""Leaving no trace: copies to try things on, and the process's generators as they were."""

from __future__ import annotations

import copy
import random
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

COPIED = 64 << 20
"""Bytes of tensors and arrays up to which a data set is copied whole; of a larger one the copies share these."""


@contextmanager
def kept_generators(seed: int | None = 0) -> Iterator[None]:
    """Seed torch, numpy and random, and put all of them back at the end; None seeds nothing."""
    python, array = random.getstate(), np.random.get_state()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        if seed is not None:
            torch.manual_seed(seed)
            np.random.seed(seed)
            random.seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(array)


@contextmanager
def quiet() -> Iterator[None]:
    """Show no warnings meanwhile: what is tried on copies concerns nobody."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def copied(model: nn.Module, *things: Any) -> tuple[Any, ...]:
    """Return deep copies of a model and of objects that hold parts of it, such as its optimizer.

    Raises:
        Exception: Whatever an object of the user's raises that cannot be copied.
    """
    memo: dict[int, Any] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        if is_lazy(tensor):  # refuses to be copied until it has a shape
            lazy: Any = type(tensor)
            memo[id(tensor)] = lazy(tensor.requires_grad, tensor.device, tensor.dtype)
    return copy.deepcopy((model, *things), memo)


def copied_data(data: Any) -> Any:
    """Return a copy of a data set; it shares the tensors and arrays of a large one."""
    stored = list(_stored(data, set()))
    shared = stored if sum(value.nbytes for value in stored) > COPIED else ()
    return copy.deepcopy(data, {id(value): value for value in shared})


def _stored(thing: Any, seen: set[int]) -> Iterator[Any]:
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, Tensor | np.ndarray):
        yield thing
    elif isinstance(thing, Mapping):
        for value in thing.values():
            yield from _stored(value, seen)
    elif isinstance(thing, list | tuple):
        if len(thing) < 10_000:
            for value in thing:
                yield from _stored(value, seen)
    elif hasattr(thing, "__dict__") and not isinstance(thing, type):
        yield from _stored(vars(thing), seen)
