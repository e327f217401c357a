"""What a sample that cannot be had costs: one message that names it, the same from every process."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy
from torch import Tensor
from torch.utils.data import Subset

from trainkit.data.fingerprint import PATHS
from trainkit.frames import user_frames

WORKER_DIED = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (?:is killed|exited)")
"""How torch says so: by a ``RuntimeError``, raised in the main thread wherever that stands."""
NO_SHARED_MEMORY = re.compile(r"shared memory|\bshm\b|</?torch_\d+", re.IGNORECASE)
MOST_CHARACTERS = 600
"""Of an error's own text."""


class LeftOut(NamedTuple):
    """A sample that ``on_error=skip`` left out of its batch, and why."""

    sample: int
    reason: str


def sample_failed(place: str, error: BaseException, about: str) -> str:
    """Return the message for a sample that raised: ``place`` is ``data.train[37]``, ``about`` its name and epoch."""
    frames = user_frames(error.__traceback__)
    return f"{place} raised {words_of(error)} ({about})" + (f"\n{frames}" if frames else "")


def words_of(error: BaseException) -> str:
    """Return type and text of an error; it may be of a class that no other process knows, and its text may fail."""
    try:
        text = str(error).strip()
    except Exception:  # noqa: BLE001 - an error's own __str__ may raise anything
        text = "(its text cannot be had)"
    text = text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS] + "..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def name_of(dataset: Any, index: int) -> str | None:
    """Return the path of a sample where the data set keeps such, through subsets; None where it does not."""
    while type(dataset) is Subset:
        dataset, index = dataset.dataset, dataset.indices[index]
    for name in PATHS:
        listed = getattr(dataset, name, None)
        if isinstance(listed, list | tuple) and index < len(listed):
            item = listed[index]
            item = item[0] if isinstance(item, list | tuple) and item else item
            if isinstance(item, str | os.PathLike):
                return os.fspath(item)
    return None


def form(value: Any) -> str:
    """Return in words what a sample or a batch is made of: ``(float32 of shape (3, 32, 32), int)``."""
    if isinstance(value, Tensor | numpy.ndarray):
        return f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {form(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        inner = ", ".join(form(item) for item in value[:8]) + (", ..." if len(value) > 8 else "")
        return f"[{inner}]" if isinstance(value, list) else f"({inner})"
    return type(value).__name__


def odd_ones(samples: Sequence[Any]) -> dict[int, str]:
    """Find the samples of a list that are unlike most others.

    Returns:
        Their places in the list, and in words how each differs, such as ``has float32 of shape (3, 31, 32), where 63
        others have float32 of shape (3, 32, 32)``. Empty if nothing differs or there is no majority.
    """
    forms = [form(sample) for sample in samples]
    (usual, count), *others = Counter(forms).most_common()
    if not others or count * 2 <= len(samples):
        return {}
    typical, odd = samples[forms.index(usual)], {}
    for place, found in enumerate(forms):
        if found != usual:
            where, own, others_have = next(_differences(samples[place], typical, ""), ("", found, usual))
            odd[place] = f"{f'its {where} has' if where else 'has'} {own}, where {count} others have {others_have}"
    return odd


def _differences(sample: Any, usual: Any, path: str) -> Iterator[tuple[str, str, str]]:
    """Yield the path and the two forms of each part in which two samples differ; the whole of them at the end."""
    if isinstance(sample, list | tuple) and isinstance(usual, list | tuple) and len(sample) == len(usual):
        for number, pair in enumerate(zip(sample, usual, strict=True)):
            yield from _differences(*pair, f"{path}[{number}]")
    elif isinstance(sample, Mapping) and isinstance(usual, Mapping) and sample.keys() == usual.keys():
        for key in usual:
            yield from _differences(sample[key], usual[key], f"{path}[{key!r}]")
    elif form(sample) != form(usual):
        yield f"part {path}" if path else "", form(sample), form(usual)


def shared_memory() -> str:
    """Return in words how full /dev/shm is, through which workers hand over their batches, and what to do."""
    advice = "data.num_workers=0 needs none, fewer workers or a smaller data.prefetch_factor need less"
    if not os.path.isdir("/dev/shm"):
        return f"the shared memory is full: {advice}"
    usage = shutil.disk_usage("/dev/shm")
    return (
        f"/dev/shm, through which workers hand over batches, has {usage.free / 2**20:.0f} of {usage.total / 2**20:.0f} "
        f"MB left: {advice}; in a container, docker run --shm-size=8g gives more"
    )
