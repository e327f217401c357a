"""Where a step is slow, a few samples tell the same as many do where it is quick."""

from __future__ import annotations

import gc
import math
import random
from itertools import count
from time import process_time
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from trainkit.inspection import Subject, inspect
from trainkit.inspection.loop import figures
from trainkit.inspection.passes import FEW, PROBED, steady
from trainkit.inspection.probes.overlap import _sums, _unordered
from trainkit.inspection.probes.tables import is_finite
from trainkit.inspection.step.starved import starved
from trainkit.inspection.step.view import fewer
from trainkit.inspection.untouched import generators, kept_generators


class Net(nn.Module):
    """A classifier; what a subclass does to its features is wrong, or may be."""

    sizes: list[int] = []  # noqa: RUF012 - of the batches in ``eval()``; copies share it

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(8, 16), nn.Linear(16, 3)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            Net.sizes.append(len(x))
        return self.head(self.treated(torch.relu(self.first(x))))

    def treated(self, x: Tensor) -> Tensor:
        return x


class Dropping(Net):
    def treated(self, x: Tensor) -> Tensor:
        return functional.dropout(x, 0.5)


class Rarely(Net):
    """Noise that few calls show, of numpy."""

    def treated(self, x: Tensor) -> Tensor:
        return x + 1.0 if np.random.rand() < 0.1 else x


class Rolling(Net):
    def treated(self, x: Tensor) -> Tensor:
        return x + x.roll(1, 0)


class Centred(Net):
    def treated(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


class Scaled(Net):
    """Only a sample with the largest value has a say in the others."""

    def treated(self, x: Tensor) -> Tensor:
        return x / x.max()


class Counting(Net):
    seen: Tensor

    def treated(self, x: Tensor) -> Tensor:
        self.seen += 1
        return x


class Gated(Net):
    """Its gate is closed at first."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.unused = nn.Parameter(torch.zeros(())), nn.Linear(16, 16)

    def treated(self, x: Tensor) -> Tensor:
        return x.detach() + self.gate * x + 0.0 * self.unused(x)


class Crowded(Net):
    def treated(self, x: Tensor) -> Tensor:
        return x - x.mean(0) if len(x) > 4 else x


def parts(model: nn.Module) -> dict[str, Any]:
    x = torch.randn(120, 8, generator=torch.Generator().manual_seed(0))
    return {"model": model, "loss": nn.CrossEntropyLoss(), "train_set": TensorDataset(x, x[:, :3].argmax(1))}


@pytest.fixture(params=[-1.0, 1e9], ids=["slow", "quick"])
def is_slow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr("trainkit.inspection.subject.LONG", request.param)
    torch.manual_seed(0)
    return bool(request.param < 0)


def test_three_samples_once_more_tell_that_a_slow_model_is_steady(is_slow: bool) -> None:
    subject = Subject(**parts(Net()))
    Net.sizes.clear()
    assert steady(subject).is_steady
    assert Net.sizes == [PROBED, FEW] if is_slow else [PROBED, PROBED // 2 + 1, PROBED // 2]


@pytest.mark.usefixtures("is_slow")
@pytest.mark.parametrize("kind", [Dropping, Rolling, Centred, Scaled, Counting])
def test_what_is_not_steady_is_known_however_slow_the_model(kind: type[Net]) -> None:
    assert not steady(Subject(**parts(kind()))).is_steady


def test_a_slow_model_that_draws_is_not_taken_for_steady(is_slow: bool) -> None:
    Net.sizes.clear()
    assert not steady(Subject(**parts(Rarely()))).is_steady or not is_slow
    assert Net.sizes[0] == PROBED
    assert FEW not in Net.sizes  # no second look at a few: the draw was seen


@pytest.mark.usefixtures("is_slow")
@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        (Rolling, "batch-mixing"),
        (Scaled, "batch-mixing"),
        (Crowded, "batch-mixing"),
        (Counting, "evaluation-changes-state"),
    ],
)
def test_findings_of_evaluation_do_not_hang_on_how_slow_a_step_is(kind: type[Net], rule: str) -> None:
    assert rule in [finding.rule for finding in inspect(**parts(kind()))]


@pytest.mark.usefixtures("is_slow")
def test_weights_behind_a_closed_gate_are_not_starved_and_those_times_zero_are() -> None:
    assert starved(Subject(**parts(Gated()))) == {"unused.weight", "unused.bias"}


@pytest.mark.parametrize("size", range(4, 70))
def test_a_smaller_batch_shares_no_factor_with_the_whole_one(size: int) -> None:
    assert 3 <= fewer(size) < size
    assert math.gcd(fewer(size), size) == 1


def test_generators_tell_each_draw() -> None:
    with kept_generators():
        for draw in (lambda: torch.rand(1), np.random.rand, np.random.randn, np.random.randn, random.random):
            before = generators()
            assert generators() == before
            draw()
            assert generators() != before


def test_rows_of_the_same_values_have_one_sum_and_one_code() -> None:
    rows = torch.randn(40, 64, generator=torch.Generator().manual_seed(0))
    for one, other in ((rows, rows.flip(1)), ((100 * rows).long(), (100 * rows).long().flip(1))):
        assert _sums(one) == _sums(other)
        assert _unordered(one) == _unordered(other)
        assert len(set(_sums(one))) > 38


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf")])
def test_one_odd_value_is_seen(odd: float) -> None:
    rows = torch.randn(40, 64)
    assert is_finite(rows)
    assert is_finite(rows[:0])
    rows[20, 7] = odd
    assert not is_finite(rows)


def test_a_pause_in_the_recorded_step_leaves_no_short_training_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for the imports of a new process."""
    clock, calls = process_time, count()
    monkeypatch.setattr("trainkit.inspection.subject.cpu_seconds", lambda: clock() + 0.4 * (next(calls) % 2))
    torch.manual_seed(0)
    x = torch.randn(400, 16)
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 2))
    data = TensorDataset(x, (x[:, 0] > 0).long())
    optimizer = torch.optim.SGD(model.parameters(), lr=30.0)
    found = inspect(model, loss=nn.CrossEntropyLoss(), train_set=data, optimizer=optimizer, batch_size=40)
    assert [finding.rule for finding in found if finding.severity == "error"] == ["learning-rate-too-large"]


class Cycle:
    """Garbage whose collection takes long, as that of a process with millions of objects does."""

    wanted = False  # of the class: a check evaluates with copies of a function and all that it holds
    collected = 0

    def __init__(self) -> None:
        self.own = self

    def __del__(self) -> None:
        Cycle.collected += 1
        end = process_time() + 0.3
        while process_time() < end:
            pass


def test_a_collection_of_garbage_is_not_taken_for_a_slow_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Garbage comes while the rule of the figures takes the time; the other rules evaluate too, and often."""
    timed = figures.recorded

    def recorded(*given: Any, **options: Any) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(Cycle, "wanted", True)
            return timed(*given, **options)

    monkeypatch.setattr(figures, "recorded", recorded)
    monkeypatch.setattr(figures, "SECONDS", 0.2)
    torch.manual_seed(0)
    x = torch.randn(400, 16)
    train_set, val_set = (TensorDataset(half, (half[:, 0] > 0).long()) for half in x.split(200))

    def evaluate(model: nn.Module, data: TensorDataset) -> float:
        if Cycle.wanted:
            Cycle()
            gc.collect()
        model.eval()
        with torch.no_grad():
            right = sum((model(x).argmax(1) == y).sum().item() for x, y in DataLoader(train_set, 50))
        model.train()
        return right / len(train_set)

    model, callbacks, before = nn.Linear(16, 2), list(gc.callbacks), Cycle.collected
    found = inspect(model, loss=nn.CrossEntropyLoss(), train_set=train_set, val_set=val_set, evaluate=evaluate)
    assert Cycle.collected > before
    assert "evaluates-other-data" in [finding.rule for finding in found]
    assert gc.callbacks == callbacks
