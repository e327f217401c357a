"""Picking a device, moving batches of any nesting, and a process that is put back as it was."""

import os
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from trainkit.device import _measured_threads, configured, map_tensors, mover, pick
from trainkit.errors import ConfigError
from trainkit.settings import Settings


class Pair(NamedTuple):
    inputs: torch.Tensor
    lengths: list[int]


@dataclass(frozen=True)
class Sample:
    image: torch.Tensor
    name: str


def batch_of_everything():
    one = torch.ones(2)
    return {
        "tensor": one,
        "list": [one, (one, None)],
        "named": Pair(one, [1, 2]),
        "dataclass": Sample(one, "a"),
        "ordered": OrderedDict(a=one),
        "plain": ("text", 3, None, b"x", {1, 2}),
    }


def test_the_cpu_is_always_there():
    assert pick("cpu") == torch.device("cpu")


def test_auto_takes_the_fastest():
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert pick("auto").type == best


@pytest.mark.parametrize("name", ["cuda:99", "meta"])
def test_a_missing_device_is_refused_with_those_there_are(name):
    with pytest.raises(ConfigError, match=rf"trainer\.device={name}: not on this machine, which has cpu"):
        pick(name)


@pytest.mark.parametrize("name", ["gpu", "cuda:x", ""])
def test_what_is_no_device_is_refused(name):
    with pytest.raises(ConfigError, match=rf"trainer\.device={name}: no such device; this machine has cpu"):
        pick(name)


@pytest.mark.gpu
def test_cuda_means_the_first():
    assert pick("cuda") == torch.device("cuda:0")


def test_map_tensors_reaches_every_tensor_and_keeps_the_types():
    doubled = map_tensors(batch_of_everything(), lambda tensor: tensor * 2)
    two = [2.0, 2.0]
    assert doubled["tensor"].tolist() == two
    assert type(doubled["list"]) is list
    assert type(doubled["list"][1]) is tuple
    assert doubled["list"][0].tolist() == doubled["list"][1][0].tolist() == two
    assert isinstance(doubled["named"], Pair)
    assert (doubled["named"].inputs.tolist(), doubled["named"].lengths) == (two, [1, 2])
    assert isinstance(doubled["dataclass"], Sample)
    assert (doubled["dataclass"].image.tolist(), doubled["dataclass"].name) == (two, "a")
    assert isinstance(doubled["ordered"], OrderedDict)
    assert doubled["ordered"]["a"].tolist() == two
    assert doubled["plain"] == batch_of_everything()["plain"]


def test_the_cpu_moves_nothing():
    batch = batch_of_everything()
    assert mover(torch.device("cpu"))(batch) is batch


def test_mover_moves_objects_that_can_move_themselves_wherever_they_stand():
    packed = pack_sequence([torch.ones(3), torch.ones(2)])
    move = mover(torch.device("meta"))
    alone, (nested, targets) = move(packed), move((packed, torch.ones(2)))
    for each in (alone, nested):
        assert isinstance(each, PackedSequence)
        assert each.data.device.type == "meta"
    assert targets.device.type == "meta"


class Encoding(Mapping):
    """A mapping that moves itself, as tokenizers return it."""

    def __init__(self, items):
        self.items_by_name = items

    def __getitem__(self, name):
        return self.items_by_name[name]

    def __iter__(self):
        return iter(self.items_by_name)

    def __len__(self):
        return len(self.items_by_name)

    def to(self, device):
        return Encoding({name: tensor.to(device) for name, tensor in self.items_by_name.items()})


def test_mover_lets_a_mapping_move_itself():
    moved = mover(torch.device("meta"))([Encoding({"ids": torch.ones(2)})])
    assert type(moved[0]) is Encoding
    assert moved[0]["ids"].device.type == "meta"


def state_of_the_process():
    return torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.is_anomaly_enabled()


def test_the_process_is_configured_and_put_back(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = state_of_the_process()
    settings = Settings(threads=2, deterministic=True, detect_anomaly=True)

    def fail():
        with configured(settings):
            assert state_of_the_process() == (2, True, True)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert state_of_the_process() == before
    os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)


def test_null_threads_leave_torch_as_it_is():
    torch.set_num_threads(2)
    with configured(Settings()):
        assert torch.get_num_threads() == 2


@pytest.mark.parametrize("told", [True, False])
def test_auto_threads_are_measured_unless_the_environment_says(monkeypatch, told):
    torch.set_num_threads(2)
    if not told:
        monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr("trainkit.device._measured_threads", lambda: 1)
    with configured(Settings(threads="auto")):
        assert torch.get_num_threads() == (2 if told else 1)
    assert torch.get_num_threads() == 2


def test_measured_threads_are_one_or_all():
    torch.set_num_threads(2)
    assert _measured_threads() in (1, 2)
