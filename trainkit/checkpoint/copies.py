"""What of the memory a save needs, and copies of it that a thread can write while the training goes on.

Tensors of a state may be views: tied weights see the same bytes, the weights of a recurrent layer are parts of one
block, and a callback may keep a row of a large table. ``torch.save`` writes the whole storage behind each of them.
Here the bytes that a state sees are found first, joined where they overlap, and only those are written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor


class Block(NamedTuple):
    """A stretch of a storage, in bytes, and the tensors that see it."""

    storage: torch.UntypedStorage
    start: int
    stop: int
    views: list[Tensor]
    is_mixed: bool = False
    """Whether tensors of other types see the same storage, which torch.save refuses."""

    @property
    def is_loose(self) -> bool:
        """Whether one tensor alone sees it, and not as it is: a column of a matrix, an expanded scalar, a conjugate."""
        return len(self.views) == 1 and (self.stop - self.start != _bytes(self.views[0]) or _is_lazy(self.views[0]))

    @property
    def size(self) -> int:
        """Bytes that it takes in a checkpoint."""
        return _bytes(self.views[0]) if self.is_loose else self.stop - self.start


def blocks(tensors: Iterable[Tensor]) -> list[Block]:
    """Return the stretches of memory that the tensors see; those that overlap are one."""
    by_storage: defaultdict[tuple[object, ...], list[Tensor]] = defaultdict(list)
    dtypes: defaultdict[int, set[torch.dtype]] = defaultdict(set)
    for tensor in {id(tensor): tensor for tensor in tensors}.values():
        storage = tensor.untyped_storage()
        address: tuple[object, ...] = (tensor.device, storage.data_ptr(), storage.nbytes(), tensor.dtype)
        if _is_lazy(tensor):
            address = (id(tensor),)
        dtypes[storage.data_ptr()].add(tensor.dtype)
        by_storage[address if storage.nbytes() else (id(tensor),)].append(tensor)
    found: list[Block] = []
    for views in by_storage.values():
        last: Block | None = None
        for view in sorted(views, key=_start):
            start, stop = _start(view), _stop(view)
            if last is not None and start < last.stop:
                last.views.append(view)
                last = found[-1] = last._replace(stop=max(stop, last.stop))
            else:
                is_mixed = len(dtypes[view.untyped_storage().data_ptr()]) > 1
                last = Block(view.untyped_storage(), start, stop, [view], is_mixed)
                found.append(last)
    return found


def compacted(found: Iterable[Block]) -> dict[int, Tensor]:
    """Return for the id of each tensor one that sees the same values, in no more memory than needed."""
    tensors = {}
    for block in found:
        if block.is_loose or (block.is_mixed and len(block.views) == 1):
            tensors[id(block.views[0])] = block.views[0].detach().clone(memory_format=torch.contiguous_format)
        elif block.start == 0 and block.stop == block.storage.nbytes() and not block.is_mixed:
            tensors |= {id(view): view.detach() for view in block.views}
        else:
            piece = block.storage[block.start : block.stop]
            piece = piece.clone() if block.is_mixed else piece
            tensors |= {id(view): _placed(view, piece, block.start) for view in block.views}
    return tensors


class Buffers:
    """Memory that is kept from save to save, for copies of a state on the host; pinned where the state is on CUDA."""

    def __init__(self) -> None:
        self._kept: defaultdict[tuple[int, bool], list[Tensor]] = defaultdict(list)

    def copied(self, found: Iterable[Block]) -> dict[int, Tensor]:
        """Return a copy on the host for the id of each tensor; those of the save before must not be needed any more."""
        used: defaultdict[tuple[int, bool], list[Tensor]] = defaultdict(list)
        tensors, devices = {}, set()
        for block in found:
            pinned = block.storage.device.type == "cuda"
            free = self._kept[block.size, pinned]
            buffer = free.pop() if free else torch.empty(block.size, dtype=torch.uint8, pin_memory=pinned)
            used[block.size, pinned].append(buffer)
            memory = buffer.untyped_storage()
            if block.is_loose:
                (view,) = block.views
                copy = torch.empty(0, dtype=view.dtype).set_(memory, 0, view.shape, _contiguous(view))
                copy.copy_(view.detach(), non_blocking=pinned)
                tensors[id(view)] = copy
            else:
                source = torch.empty(0, dtype=torch.uint8, device=block.storage.device)
                source.set_(block.storage, block.start, (block.size,), (1,))
                buffer.copy_(source, non_blocking=pinned)
                tensors |= {id(view): _placed(view, memory, block.start) for view in block.views}
            if pinned:
                devices.add(block.storage.device)
        for device in devices:
            torch.cuda.current_stream(device).synchronize()  # host-device synchronisation: the copies are complete
        self._kept = used  # what this state did not need is given back
        return tensors


def _placed(view: Tensor, storage: torch.UntypedStorage, start: int) -> Tensor:
    """Return ``view`` in another storage, which begins at byte ``start`` of its own."""
    offset = view.storage_offset() - start // view.element_size()
    return torch.empty(0, dtype=view.dtype, device=storage.device).set_(storage, offset, view.shape, view.stride())


def _contiguous(view: Tensor) -> list[int]:
    """Return the strides of a dense tensor of this shape."""
    return [prod(view.shape[place + 1 :]) for place in range(view.dim())]


def _is_lazy(tensor: Tensor) -> bool:
    """Say whether the numbers are not those in memory, but their conjugates or negatives."""
    return tensor.is_conj() or tensor.is_neg()


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _start(tensor: Tensor) -> int:
    return int(tensor.storage_offset()) * tensor.element_size()


def _stop(tensor: Tensor) -> int:
    if not tensor.numel():
        return _start(tensor)
    reach = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return _start(tensor) + (reach + 1) * tensor.element_size()
