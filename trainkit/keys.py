"""Keyed randomness: every draw is a pure function of ``(seed, purpose, epoch or step, sample)``.

A key is a 64-bit integer. :func:`fold` derives a key from another one, as ``jax.random.fold_in`` and numpy's
``SeedSequence`` do, and :class:`Streams` points the global generators at a key just before a draw. No stream is
carried from one step to the next, so nothing needs to be saved for an exact resume, and whatever draws in between
(validation, a callback, another number of workers) cannot change the training.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import numpy
import torch
from torch import Tensor


def fold(key: int, *parts: int | str) -> int:
    """Return the 64-bit key derived from ``key`` and ``parts``: equal for equal arguments, unrelated otherwise."""
    digest = blake2b((key % 2**64).to_bytes(8, "little"), digest_size=8)
    for part in parts:
        if isinstance(part, int):
            digest.update((b"i" if part >= 0 else b"n") + part.to_bytes(8, "little", signed=part < 0))
        else:
            text = part.encode()
            digest.update(b"s" + len(text).to_bytes(8, "little") + text)
    return int.from_bytes(digest.digest(), "little")


def generator(key: int) -> torch.Generator:
    """Return a new CPU generator that starts at ``key``."""
    return torch.Generator().manual_seed(key)


def permutation(key: int, n: int) -> Tensor:
    """Return the permutation of ``range(n)`` that belongs to ``key``, a tensor of n integers."""
    return torch.randperm(n, generator=generator(key))


def split(n: int, fractions: Sequence[float], key: int) -> list[Tensor]:
    """Deal the indices ``0..n-1`` into random parts, one for each fraction.

    Args:
        n: Number of samples.
        fractions: Share of each part; they sum to at most 1. The last part takes the rounding when they sum to 1.
        key: The same key gives the same parts.

    Returns:
        One sorted tensor of indices for each fraction; the parts do not overlap.

    Raises:
        ValueError: If a fraction is negative or they sum to more than 1.
    """
    if any(f < 0 for f in fractions) or sum(fractions) > 1 + 1e-9:
        raise ValueError(f"split fractions must be positive and sum to at most 1, not {list(fractions)}")
    edges = [0]
    for f in fractions:
        edges.append(edges[-1] + round(n * f))
    if abs(sum(fractions) - 1) < 1e-9:
        edges[-1] = n
    order = permutation(key, n)
    return [order[a:b].sort().values for a, b in pairwise(edges)]


class Streams:
    """The global generators of torch (CPU and one device), numpy and :mod:`random`, pointed at keys."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._device = device = torch.device(device)
        self._generators = [torch.default_generator]
        if device.type == "cuda":
            torch.cuda.init()
            self._generators.append(torch.cuda.default_generators[device.index or 0])
        elif device.type == "mps":
            self._generators.append(torch.mps._get_default_mps_generator())

    def __reduce__(self) -> tuple[Any, ...]:
        """Hold, as a copy in another process, the generators of that process."""
        return Streams, (self._device,)

    def seed(self, key: int) -> None:
        """Let the next draws of every global generator be those of ``key``."""
        for g in self._generators:
            g.manual_seed(key)
        numpy.random.seed(key >> 32)  # torch and numpy share an algorithm and 32 bits: of one seed they draw the same
        random.seed(key)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Leave the global generators, at the end, as they were at the start."""
        states = [g.get_state() for g in self._generators]
        numpy_state, python_state = numpy.random.get_state(), random.getstate()
        try:
            yield
        finally:
            for g, state in zip(self._generators, states, strict=True):
                g.set_state(state)
            numpy.random.set_state(numpy_state)
            random.setstate(python_state)
