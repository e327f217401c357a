"""Waiting for data, and steps that take longer and longer."""

import os
import time
from typing import Any

import pytest
import torch
from fits import Kept, examined, mlp, task, trainer
from torch import nn
from torch.utils.data import Dataset

from trainkit import Loader
from trainkit.diagnostics import Throughput, throughput
from trainkit.diagnostics.series import Series
from trainkit.errors import ConfigError


class Slow(Dataset[Any]):
    """Samples that take their time."""

    def __init__(self) -> None:
        self.inputs, self.targets = task(128)

    def __len__(self) -> int:
        return 128

    def __getitem__(self, index: int) -> Any:
        time.sleep(0.002)
        return self.inputs[index], self.targets[index]


def slow_trainer(diagnostic: Throughput, **options: Any) -> Any:
    fitted = trainer(mlp(8, 4), [diagnostic], max_epochs=2, **options)
    fitted.train_loader = fitted.data = Loader(Slow(), 16)
    return fitted


def test_a_starving_loader_is_named_with_the_number_of_workers() -> None:
    fitted = slow_trainer(diagnostic := Throughput(4, patience=0.1))
    fitted.fit()
    (symptom,) = diagnostic.symptoms(fitted)
    assert symptom.rule == "starving"
    assert "went into waiting for batches, with data.num_workers=0" in symptom.evidence
    workers = int(symptom.cure.removeprefix("data.num_workers=").partition(",")[0])
    assert 1 <= workers <= max(len(os.sched_getaffinity(0)), 1)
    assert "windows" not in vars(fitted.data)


def test_short_waits_are_not_worth_a_word() -> None:
    fitted = slow_trainer(diagnostic := Throughput(4))
    fitted.fit()
    assert diagnostic.symptoms(fitted) == []


def test_the_share_of_waiting_and_the_pace_are_logged_as_numbers_of_a_clock() -> None:
    from trainkit.callbacks.recorder import is_of_the_clock

    fitted = slow_trainer(Throughput(4), loggers=[kept := Kept()])
    fitted.fit()
    share, pace = kept.curve("throughput/data_share_of_time"), kept.curve("throughput/samples_per_second")
    assert list(share) == list(pace) == [4, 8, 12, 16]
    assert all(0.3 < value <= 1 for value in share.values())
    assert all(0 < value < 16 / 0.032 for value in pace.values())
    assert is_of_the_clock("throughput/data_share_of_time")
    assert is_of_the_clock("throughput/samples_per_second")


def test_validation_is_no_training_time() -> None:
    class Sleeping(nn.CrossEntropyLoss):
        def forward(self, *arguments: Any) -> Any:
            if not torch.is_grad_enabled():
                time.sleep(0.2)
            return super().forward(*arguments)

    kept = Kept()
    trainer(
        mlp(8, 4), [Throughput(16)], loss=Sleeping(), val=task(64), loggers=[kept], max_epochs=3, val_check_interval=8
    ).fit()
    assert min(kept.curve("throughput/samples_per_second").values()) > 256 / 0.2


@pytest.mark.parametrize(
    ("costs", "found"),
    [
        ([1.0 + 0.2 * i for i in range(12)], True),
        ([1.0 + 0.2 * i for i in range(6)], False),
        ([1.0] * 12, False),
        ([2.0, 1.0] * 6, False),
        ([5.0] + [1.0] * 11, False),
    ],
)
def test_steps_that_take_longer_and_longer_are_named(costs: list[float], found: bool) -> None:
    diagnostic, fitted = Throughput(patience=1.0), trainer(mlp(8, 4), [])
    diagnostic._costs = Series()
    for number, seconds in enumerate(costs):
        diagnostic._costs.add(50 * number, seconds)
    diagnostic._in_all = [100.0, 0.0]
    assert [s.rule for s in diagnostic.symptoms(fitted)] == ["slowing"] * found
    diagnostic._in_all = [0.5, 0.0]
    assert diagnostic.symptoms(fitted) == []


def test_a_leak_slows_the_steps_down() -> None:
    kept: list[int] = []

    class Leaking(nn.CrossEntropyLoss):
        def forward(self, *arguments: Any) -> Any:
            kept.extend(range(20_000))
            sum(kept)
            return super().forward(*arguments)

    rules, note, _ = examined(mlp(8, 4), Throughput(4, patience=0.01), loss=Leaking(), max_epochs=4)
    assert rules == ["slowing"]
    assert note[0].startswith("The training gets slower and slower: a step took ")


def test_what_takes_the_time_is_let_go_of_when_a_step_raises() -> None:
    class Failing(nn.CrossEntropyLoss):
        def forward(self, *arguments: Any) -> Any:
            raise ValueError("no")

    fitted = trainer(mlp(8, 4), [Throughput()], loss=Failing())
    with pytest.raises(ValueError, match="no"):
        fitted.fit()
    assert "windows" not in vars(fitted.data)


def test_a_negative_patience_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"diagnostics\.throughput\.patience=-1"):
        Throughput(patience=-1)
    assert throughput._more(16) == 32
