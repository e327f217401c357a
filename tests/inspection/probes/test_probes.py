"""The probes and the audit of the data: what they measure, what they read, and what they leave alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from trainkit.inspection import Subject, inspect
from trainkit.inspection.probes.origins import is_scaling, made_at, one_sided, origin
from trainkit.inspection.probes.overlap import neighbours
from trainkit.inspection.probes.relation import BOUND, dependence
from trainkit.inspection.probes.sequences import is_next
from trainkit.inspection.probes.splits import _apart
from trainkit.inspection.probes.tables import MOST, table
from trainkit.inspection.untouched import copied_data

GENERATOR = torch.Generator().manual_seed(0)


def centred(y: Tensor) -> Tensor:
    return y.double() - y.double().mean(0)


def rows(count: int = 600, width: int = 6) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(count))


@pytest.mark.parametrize(
    "relation",
    [
        lambda x: x[:, :1],
        lambda x: x[:, :1] * x[:, 1:2],
        lambda x: (x[:, :1] > 0) ^ (x[:, 1:2] > 0),
        lambda x: x.square().sum(1, keepdim=True),
    ],
    ids=["line", "product", "xor", "radius"],
)
def test_a_relation_is_seen(relation: Any) -> None:
    x = rows()
    assert dependence(x.double(), centred(relation(x).float())) > BOUND


@pytest.mark.parametrize("seed", range(4))
def test_noise_is_no_relation(seed: int) -> None:
    x, y = rows(400 + seed), torch.randn(400 + seed, 1, generator=torch.Generator().manual_seed(seed))
    assert dependence(x.double(), centred(y)) <= BOUND


def test_a_shift_of_a_whole_standard_deviation_is_left_to_nature() -> None:
    x = rows()
    assert not _apart(x, x * 1.4 + 0.8)
    assert _apart(x, x * 4)
    assert _apart(x / x.std() - x.mean(), x * 5 + 9)


def test_pixels_are_known_by_their_bounds() -> None:
    x = torch.rand(200, 64, generator=torch.Generator().manual_seed(1))
    assert _apart(x, x * 2 - 1)
    assert not _apart(x, (x * 1.1 - 0.05).clamp(0, 1))


def test_copies_with_noise_are_shared_and_neighbours_are_not() -> None:
    x = rows(300, 8)
    assert neighbours(x, x[:50] + 1e-4).near()[0] == 1.0
    assert neighbours(x, rows(50, 8)).near()[0] == 0.0
    grid = (rows(300, 3) > 0).float()
    share, natural = neighbours(grid, grid[:50]).near()
    assert share == natural == 1.0
    assert neighbours(grid.float(), grid[:50]).near()[0] == 1.0


def test_the_next_token_is_told_from_the_same_one() -> None:
    t = torch.randint(0, 9, (4, 8), generator=GENERATOR)
    assert is_next(t[:, :-1], t[:, 1:])
    assert not is_next(t, t)
    hidden = t[:, 1:].clone()
    hidden[:, 3:] = -100
    assert is_next(t[:, :-1], hidden)


class Huge(Dataset[Any]):
    """Counts its reads, and refuses to be copied."""

    reads = 0

    def __init__(self) -> None:
        self.rows = [(float(i), i % 3) for i in range(200_000)]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        Huge.reads += 1
        value, label = self.rows[index]
        return torch.full((5,), value), label


def test_a_large_data_set_is_neither_read_nor_copied_whole() -> None:
    data = Huge()
    subject = Subject(nn.Linear(5, 3), train_set=data)
    read = table(subject, "train_set")
    assert read is not None
    assert len(read.indices) <= MOST
    assert Huge.reads <= MOST + 1
    assert int(read.indices[-1]) > 190_000
    copy = copied_data(data)
    assert copy.rows is not data.rows
    assert copy.rows[7] is data.rows[7]


def test_samples_of_many_values_are_fewer() -> None:
    images = TensorDataset(torch.zeros(500, 3, 96, 96), torch.zeros(500).long())
    read = table(Subject(nn.Linear(1, 1), train_set=images), "train_set")
    assert read is not None
    assert len(read.indices) < 200


def scaled(count: int) -> Tensor:
    return rows(count) * 2


def check() -> dict[str, Any]:
    return {"train_set": scaled(40), "val_set": rows(40)}


def test_lines_of_data_are_those_that_make_them() -> None:
    subject = Subject(nn.Linear(6, 1), train_set=[], val_set=[], caller=__file__)
    made = origin(subject, "val_set")
    assert made is not None
    at = made_at(subject, "train_set")
    assert at is not None
    assert "scaled(40)" in at.text
    scaling = one_sided(subject, is_scaling)
    assert scaling is not None
    assert scaling.text == "return rows(count) * 2"


def test_targets_for_form_s_sake_are_not_judged() -> None:
    x = rows(400)
    data = TensorDataset(x, torch.zeros(400).long())

    def loss(output: Tensor, target: Tensor) -> Tensor:
        return output.square().mean()

    assert "constant-target" not in {f.rule for f in inspect(nn.Linear(6, 2), loss=loss, train_set=data)}
    named = {f.rule for f in inspect(nn.Linear(6, 2), loss=nn.CrossEntropyLoss(), train_set=data)}
    assert "constant-target" in named


def test_data_and_generators_are_left_as_they_were() -> None:
    x, y = rows(200), torch.zeros(200, 1)
    model = nn.Linear(6, 1)
    before, state = x.clone(), torch.get_rng_state()
    inspect(model, loss=nn.MSELoss(), train_set=TensorDataset(x, y), val_set=TensorDataset(x[:50], y[:50]))
    assert torch.equal(x, before)
    assert torch.equal(torch.get_rng_state(), state)
