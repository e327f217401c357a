"""A state is tensors and plain types, or is refused with the path of what is not."""

import argparse
import collections
import dataclasses
import datetime
import enum
import io
import pathlib

import numpy
import pytest
import torch
from torch import nn

from trainkit.checkpoint import plain
from trainkit.checkpoint.copies import blocks, compacted
from trainkit.checkpoint.plain import MOST_DEPTH, Unsavable, are_finite, rebuilt, survey


def test_what_is_saved_comes_back_exactly():
    state = {
        "none": None,
        "truth": [True, False],
        "numbers": (0, -1, 2**31, -(2**62), 2**1900, -(2**1900)),
        "floats": [0.1, -0.0, float("inf"), 1e-320],
        "texts": ["", "ö\0\n", "\ud800"],
        "bytes": [b"\0", bytes(range(256))],
        "shape": torch.Size([2, 3]),
        "types": [torch.float32, torch.bfloat16, torch.int8],
        "devices": [torch.device("cpu"), torch.device("cuda", 1)],
        "keys": {1: "a", "1": "b", True and 2: "c", 0.5: "d", None: "e"},
        "ordered": collections.OrderedDict(b=1, a=2),
        "tensors": [torch.arange(3), torch.tensor(1.5, dtype=torch.float64), torch.zeros(0), torch.ones(2, 3).t()],
        "halves": [torch.ones(2, dtype=torch.bfloat16), torch.tensor([1 + 2j]), torch.ones(2, dtype=torch.uint16)],
        "nothing": [[], (), {}],
    }
    content = rebuilt(state, compacted(blocks(survey(state))))
    file = io.BytesIO()
    torch.save(content, file)
    file.seek(0)
    back = torch.load(file, weights_only=True)
    assert list(back) == list(state)
    for key in state.keys() - {"tensors", "halves"}:
        assert back[key] == state[key], key
        assert repr(back[key]) == repr(state[key]), key
        assert type(back[key]) is type(state[key])
    for key in ("tensors", "halves"):
        for one, other in zip(back[key], state[key], strict=True):
            assert (one.dtype, one.shape) == (other.dtype, other.shape)
            assert torch.equal(one, other)


def test_a_modules_state_keeps_its_versions():
    state = nn.BatchNorm1d(3).state_dict()
    content = rebuilt(state, compacted(blocks(survey(state))))
    assert content._metadata == state._metadata
    assert content._metadata[""]["version"] == 2


def test_tensors_are_found_in_order_each_as_often_as_it_is_there():
    one, two = torch.ones(1), torch.ones(2)
    found = survey({"a": [one, {"b": two}], "c": (one,)})
    assert [id(tensor) for tensor in found] == [id(one), id(two), id(one)]


def test_the_copy_has_containers_of_its_own_and_keeps_what_is_one_tensor_one():
    tensor = torch.ones(1)
    state = {"a": [tensor], "b": {"c": tensor}}
    copy = rebuilt(state, compacted(blocks(survey(state))))
    state["a"].append(2)
    state["b"]["d"] = 3
    assert copy == {"a": [tensor], "b": {"c": tensor}}
    assert copy["a"][0] is copy["b"]["c"]


class Colour(enum.IntEnum):
    RED = 1


@dataclasses.dataclass
class Record:
    value: int = 1


class Weird:
    pass


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (lambda: 1, "a function (<lambda>)"),
        (len, "a builtin_function_or_method (len)"),
        (Weird(), "Weird cannot be saved"),
        (Weird, "a type (Weird) cannot be saved"),
        (numpy.float64(1), "a numpy.float64 cannot be saved"),
        (numpy.float64(1), "return value.item() instead"),
        (numpy.ones(2), "return torch.from_numpy(value) instead"),
        ({1, 2}, "return sorted(value) instead"),
        (collections.defaultdict(int), "return dict(value) instead"),
        (collections.Counter("ab"), "return dict(value) instead"),
        (collections.deque([1]), "return list(value) instead"),
        (collections.namedtuple("Pair", "a b")(1, 2), "return tuple(value) instead"),
        (argparse.Namespace(), "leave it out of state_dict()"),
        (pathlib.Path("x"), "return str(value) instead"),
        (datetime.datetime(2020, 1, 1), "return value.isoformat() instead"),
        (Colour.RED, "return int(value) instead"),
        (Record(), "return dataclasses.asdict(value) instead"),
        (1j, "return [value.real, value.imag] instead"),
        (bytearray(b"a"), "return bytes(value) instead"),
        (nn.Parameter(torch.ones(1)), "a torch.nn.parameter.Parameter cannot be saved"),
        (nn.Parameter(torch.ones(1)), "return value.detach() instead"),
        (torch.Generator(), "return value.get_state() instead"),
        (nn.Linear(1, 1), "leave it out of state_dict()"),
        (torch.eye(2).to_sparse(), "a tensor that is torch.sparse_coo cannot be saved; return value.to_dense()"),
        (torch.empty(2, device="meta"), "a tensor on the meta device has no contents to save"),
        (torch.ones(1).expand(1 << 29), "a tensor of 2147483648 bytes expanded from 4"),
        (2**3000, "an int of 3001 bits cannot be read back"),
        (b"", "empty bytes cannot be read back; return None instead"),
        ({(1, 2): 3}, "a key of it is a tuple; keys must be str or int"),
        ({Colour.RED: 3}, "; keys must be str or int"),
    ],
)
def test_what_cannot_be_saved_is_named_by_its_path(value, text):
    with pytest.raises(Unsavable) as caught:
        survey({"model": {}, "callbacks.mine": {"list": [1, {"it": value}]}})
    assert str(caught.value).startswith("callbacks.mine.list.1.it: ")
    assert text in str(caught.value)


def test_a_state_that_holds_itself_or_is_too_much_ends(monkeypatch):
    monkeypatch.setattr(plain, "MOST_VALUES", 20_000)
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(Unsavable, match=f"nested more than {MOST_DEPTH} deep"):
        survey({"a": endless})
    laughs: list[object] = ["ha"]
    for _ in range(40):
        laughs = [laughs] * 10
    with pytest.raises(Unsavable, match="too much for one checkpoint"):
        survey({"a": laughs})
    with pytest.raises(Unsavable, match=r"history.*: too much for one checkpoint.*make tensors of the values"):
        survey({"history": [float(n) for n in range(30_000)]})


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_finite(bad):
    assert are_finite({})
    assert are_finite({"a": torch.ones(2), "count": torch.tensor(3), "mask": torch.tensor([0.0, float("-inf")])})
    assert not are_finite({"a": torch.ones(2), "b": torch.tensor([1.0, bad])})
