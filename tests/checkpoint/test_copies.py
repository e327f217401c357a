"""Copies of a state hold the same values in no more memory than needed, and are reused from save to save."""

import io

import pytest
import torch
from torch import nn

from trainkit.checkpoint.copies import Buffers, blocks, compacted


def copies_of(how, tensors):
    found = blocks(tensors)
    copies = compacted(found) if how == "compacted" else Buffers().copied(found)
    return [copies[id(tensor)] for tensor in tensors]


def saved_bytes(tensors):
    file = io.BytesIO()
    torch.save(tensors, file)
    return file.tell()


both = pytest.mark.parametrize("how", ["compacted", "copied"])
TABLE = torch.arange(100_000.0).view(100, 1000)


@both
@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(3, 4),
        torch.randn(3, 4).t(),
        torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        torch.tensor(3),
        torch.zeros(0, 4),
        torch.tensor([True, False]),
        torch.randn(4).bfloat16(),
        torch.tensor([1 + 2j, 3j]).conj(),
        TABLE[7],
        TABLE[:, 7],
        TABLE[5:7, 10:13],
        TABLE[::2],
        torch.ones(1).expand(5),
        torch.arange(6)[1:][::2],
        torch.randn(5, requires_grad=True) * 2,
        nn.Parameter(torch.randn(2)),
    ],
    ids=lambda tensor: "x".join(map(str, tensor.shape)) or "scalar",
)
def test_values_are_those_of_the_tensor(how, tensor):
    (copy,) = copies_of(how, [tensor])
    assert (copy.dtype, copy.shape) == (tensor.dtype, tensor.shape)
    assert torch.equal(copy, tensor)
    assert type(copy) is torch.Tensor
    assert not copy.requires_grad
    assert copy.untyped_storage().nbytes() == copy.numel() * copy.element_size()


@both
def test_a_row_of_a_table_does_not_take_the_table_along(how):
    row, column = copies_of(how, [TABLE[7], TABLE[:, 3].clone()])
    assert saved_bytes([row, column]) < 10_000
    (column,) = copies_of(how, [TABLE[:, 7]])
    assert saved_bytes([column]) < 3000


@both
def test_what_is_shared_stays_shared(how):
    weight = torch.randn(4, 5)
    tied = [weight, weight.view(20), weight[1:3], weight.t()]
    copies = copies_of(how, tied)
    for copy, tensor in zip(copies, tied, strict=True):
        assert torch.equal(copy, tensor)
        assert copy.stride() == tensor.stride()
    assert len({copy.untyped_storage().data_ptr() for copy in copies}) == 1
    file = io.BytesIO()
    torch.save(copies, file)
    file.seek(0)
    back = torch.load(file, weights_only=True)
    back[0].fill_(7)
    assert all(bool((one == 7).all()) for one in back)


@both
def test_parts_of_one_block_are_saved_once_each(how):
    block = torch.arange(1000.0)
    parts = [block[:400], block[400:900], block[300:500]]
    copies = copies_of(how, parts)
    assert all(torch.equal(copy, part) for copy, part in zip(copies, parts, strict=True))
    assert saved_bytes(copies) < 900 * 4 + 3000
    apart = copies_of(how, [block[:10], block[990:]])
    assert saved_bytes(apart) < 3000


@both
def test_one_memory_seen_as_several_types_can_be_saved(how):
    memory = torch.arange(16, dtype=torch.uint8)
    views = [memory[:8].view(torch.float32), memory[8:], memory.view(torch.int16)]
    file = io.BytesIO()
    torch.save(copies_of(how, views), file)
    file.seek(0)
    for one, view in zip(torch.load(file, weights_only=True), views, strict=True):
        assert torch.equal(one.view(torch.uint8), view.view(torch.uint8))


@both
def test_marks_that_others_left_on_a_tensor_are_not_saved(how):
    tensor = torch.ones(2)
    tensor.mark = print  # as compilers do
    (copy,) = copies_of(how, [tensor])
    assert not vars(copy)


def test_a_compact_state_is_not_copied():
    tensor = torch.randn(10)
    assert compacted(blocks([tensor]))[id(tensor)].data_ptr() == tensor.data_ptr()
    part = TABLE[3:5]
    assert compacted(blocks([part]))[id(part)].data_ptr() == part.data_ptr()


def test_a_copy_does_not_change_with_the_tensor():
    tensor, buffers = torch.zeros(10), Buffers()
    copy = buffers.copied(blocks([tensor]))[id(tensor)]
    tensor.fill_(1)
    assert copy.tolist() == [0.0] * 10


def test_buffers_are_reused_whatever_the_order_and_given_back_when_not_needed():
    buffers, tensors = Buffers(), [torch.full((size,), float(size)) for size in (10, 20, 10, 30)]
    first = buffers.copied(blocks(tensors))
    places = {first[id(tensor)].data_ptr() for tensor in tensors}
    again = buffers.copied(blocks(reversed(tensors)))
    assert {again[id(tensor)].data_ptr() for tensor in tensors} == places
    assert all(torch.equal(again[id(tensor)], tensor) for tensor in tensors)
    buffers.copied(blocks(tensors[:1]))
    assert sum(len(kept) for kept in buffers._kept.values()) == 1


@pytest.mark.gpu
def test_copies_of_a_gpus_state_are_pinned():
    tensor = torch.randn(1000, device="cuda")
    copy = Buffers().copied(blocks([tensor]))[id(tensor)]
    assert copy.is_pinned()
    assert torch.equal(copy, tensor.cpu())
