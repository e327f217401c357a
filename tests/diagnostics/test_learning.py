"""What the curves of the loss say, planted ones and those of trainings."""

import math
import random
from typing import Any

import pytest
import torch
from fits import Kept, examined, mlp, task, trainer
from torch import nn

from trainkit import Trainer
from trainkit.diagnostics import Learning
from trainkit.diagnostics.series import Series
from trainkit.diagnostics.symptoms import Symptom, sentences


def planted(
    train: list[float], val: list[float] | None = None, rates: tuple[float, float] = (0.1, 0.1)
) -> tuple[list[str], str]:
    """Return the rules, and the words, for a curve of the training loss and one of the validation beside it."""
    diagnostic, fitted = Learning(50), trainer(mlp(8, 4), [])
    for number, loss in enumerate(train):
        diagnostic._train.add(max(50 * number, 1), loss)
    share = len(train) // max(len(val or ()), 1)
    for number, loss in enumerate(val or ()):
        part = train[share * number : share * (number + 1)]
        diagnostic._validations.append([50.0 * share * (number + 1), loss, sum(part) / len(part)])
    diagnostic._rates = list(rates)
    found = diagnostic.symptoms(fitted)
    return [symptom.rule for symptom in found], " ".join(f"{s.what}: {s.evidence}; {s.cure}" for s in found)


def falling(points: int, to: float = 0.1, start: float = 2.3, noise: float = 0.05, speed: float = 5.0) -> list[float]:
    generator = random.Random(0)
    return [
        to + (start - to) * math.exp(-speed * i / points) + noise * generator.gauss(0, 1) * to for i in range(points)
    ]


@pytest.mark.parametrize("to", [1e-4, 0.1, 1.5])
@pytest.mark.parametrize("speed", [1.0, 5.0, 20.0])
@pytest.mark.parametrize("points", [3, 12, 60])
def test_a_loss_that_falls_and_levels_off_is_no_symptom(to: float, speed: float, points: int) -> None:
    """Not even at a rate that stays as it is, where the data may hold no more."""
    assert planted(falling(points, to, speed=speed, noise=0.03), rates=(1e-3, 0.1)) == ([], "")


def test_a_loss_that_does_not_move_is_named() -> None:
    generator = random.Random(0)
    rules, told = planted([2.303 + 0.003 * generator.gauss(0, 1) for _ in range(20)])
    assert rules == ["unlearned"]
    assert "train/loss was 2.30" in told
    assert "debug=overfit" in told


def test_a_loss_that_falls_slowly_but_surely_is_a_symptom_only_beside_steps_that_are_too_small() -> None:
    diagnostic, fitted = Learning(50), trainer(mlp(8, 4), [])
    for number in range(60):
        diagnostic._train.add(max(50 * number, 1), 2.3 - 0.0005 * number)
    found = diagnostic.symptoms(fitted)
    assert sentences(found, 5) == []
    small = Symptom("updates-small", 72, "Small steps", "1e-5", "optimizer.lr=1", ("unlearned", "plateau"))
    (told,) = sentences([*found, small], 5)
    assert told.startswith("Small steps: 1e-5; hence little is learned (train/loss was 2.3 at the start and 2.275 in ")


def test_a_plateau_may_begin_later() -> None:
    generator = random.Random(0)
    train = [2.3 - 0.1 * i for i in range(15)] + [0.9 + 0.01 * generator.gauss(0, 1) for _ in range(35)]
    rules, told = planted(train)
    assert rules == ["plateau"]
    assert "at step 700" in told or "at step 750" in told
    assert planted([2.3 - 0.04 * i for i in range(35)] + train[-15:])[0] == []  # it has only begun


def test_over_fitting_that_levels_off_as_the_rate_does_is_named() -> None:
    val = [1.0, 0.6, 0.64, 0.76, 0.7, 0.9, 1.1, 1.15, 1.1, 1.06, 1.05, 1.04, 1.04]
    assert planted(falling(130, to=0.01), val)[0] == ["overfitting"]


@pytest.mark.parametrize(
    "train",
    [falling(20) + [0.2 + 0.2 * i for i in range(10)], [2.3 + 0.2 * i for i in range(20)]],
    ids=["after a fall", "from the start"],
)
def test_a_loss_that_rises_is_named(train: list[float]) -> None:
    rules, told = planted(train)
    assert rules[0] == "divergence"
    assert f"to {sorted(train[-3:])[1]:.3g}" in told
    assert "try" not in told
    assert "schedule.warmup" in told


def test_noise_about_the_floor_is_no_divergence() -> None:
    generator = random.Random(0)
    assert planted(falling(20) + [0.1 + abs(0.1 * generator.gauss(0, 1)) for _ in range(40)])[0] == []


def test_a_single_spike_is_no_divergence() -> None:
    train = falling(40)
    train[-2] = 5.0
    assert planted(train, rates=(1e-3, 0.1))[0] == []


def test_a_plateau_at_a_high_loss_and_a_constant_rate_is_named() -> None:
    generator = random.Random(0)
    train = [2.3, 2.0, 1.6, 1.3, 1.2, 1.2, 1.2] + [1.2 + 0.01 * generator.gauss(0, 1) for _ in range(43)]
    rules, told = planted(train)
    assert rules == ["plateau"]
    assert "trainer.max_steps=250" in told
    assert planted(train, rates=(1e-3, 0.1))[0] == []
    assert planted(train[:20])[0] == []
    assert planted(train, [2.0, 1.5, 1.0, 0.8, 0.6])[0] == []


def test_over_fitting_is_told_with_the_step_where_it_began() -> None:
    val = [1.0, 0.7, 0.5, 0.55, 0.6, 0.7, 0.8]
    rules, told = planted(falling(70, to=0.01), val)
    assert rules == ["overfitting"]
    assert "since step 1500 val/loss rose from 0.5 to 0.7" in told
    assert "callbacks.early_stopping.patience=3" in told


@pytest.mark.parametrize(
    "val",
    [
        [1.0, 0.7, 0.5, 0.52, 0.53, 0.54, 0.54],
        [1.0, 0.7, 0.5, 0.7, 0.5, 0.7, 0.51],
        [1.0, 0.7, 0.5, 0.8],
        [1.0, 0.7, 0.6, 0.58, 0.57],
    ],
    ids=["a little", "noise", "once", "never"],
)
def test_a_validation_that_only_wavers_is_no_over_fitting(val: list[float]) -> None:
    assert planted(falling(len(val) * 10, to=0.01), val)[0] == []


def test_it_is_no_over_fitting_where_the_training_loss_rises_too() -> None:
    val = [1.0, 0.7, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert "overfitting" not in planted([2.0, 1.0, 0.5, 0.6, 0.8, 0.9, 1.0], val)[0]


def test_it_is_no_over_fitting_while_the_monitored_metric_improves() -> None:
    diagnostic, fitted = Learning(), trainer(mlp(8, 4), [])
    diagnostic._validations = [[float(i), v, 1 / i] for i, v in enumerate([1.0, 0.5, 0.6, 0.7, 0.8, 0.9], 1)]
    assert [symptom.rule for symptom in diagnostic.symptoms(fitted)] == ["overfitting"]
    fitted.best.value, fitted.best.step = 0.9, 6
    assert diagnostic.symptoms(fitted) == []


def test_a_network_that_learns_noise_by_heart_is_found() -> None:
    torch.manual_seed(0)
    data = torch.randn(64, 8), torch.randint(4, (64,))
    model = mlp(8, 256, 4)
    adam = torch.optim.Adam(model.parameters(), 0.01)
    val = torch.randn(64, 8), torch.randint(4, (64,))
    rules, note, _ = examined(model, Learning(4), data=data, val=val, optimizer=adam, max_epochs=20)
    assert rules == ["overfitting"]
    assert note[0].startswith("It learns by heart: since step ")


def test_a_training_that_learns_has_nothing_to_be_said() -> None:
    inputs, targets = task(512)
    model = mlp(8, 32, 4)
    data, val = (inputs[:400], targets[:400]), (inputs[400:], targets[400:])
    _, note, _ = examined(model, Learning(4), data=data, val=val, lr=0.1, max_epochs=10)
    assert note == []


def test_a_rate_that_is_too_large_diverges() -> None:
    torch.manual_seed(0)
    data = torch.randn(256, 8), torch.randn(256)
    model = nn.Sequential(nn.Linear(8, 1), nn.Flatten(0))
    rules, note, _ = examined(model, Learning(4), data=data, loss=nn.MSELoss(), lr=1.05, max_epochs=3)
    assert rules[0] == "divergence"
    assert "optimizer.lr=0.1" in note[0]


def test_bad_numbers_end_the_run_with_a_note() -> None:
    torch.manual_seed(0)
    data = torch.randn(256, 8), torch.randn(256)
    model = nn.Sequential(nn.Linear(8, 1), nn.Flatten(0))
    _, note, fitted = examined(model, Learning(4), data=data, loss=nn.MSELoss(), lr=100.0)
    assert fitted.ending.status == "failed"
    assert note[0].startswith("The numbers went bad: step ")


def test_the_gap_is_logged_at_each_validation() -> None:
    kept = Kept()
    trainer(mlp(8, 4), [Learning(4)], val=task(64), loggers=[kept], max_epochs=3).fit()
    gap, val = kept.curve("learning/gap"), kept.curve("val/loss")
    assert list(gap) == [16, 32, 48]
    train = [loss for step, loss in kept.curve("train/loss").items() if 32 < step <= 44]
    assert gap[48] == pytest.approx(val[48] - sum(train) / len(train), abs=0.02)


def test_points_of_a_long_run_are_thinned() -> None:
    series, states = Series(), []
    for step in range(1, 5001):
        series.add(step, float(step))
        states.append(len(series))
    assert max(states) < 256
    assert series.values[0] == pytest.approx(sum(range(1, 33)) / 32)
    assert series.values[-1] == pytest.approx(series.steps[-1] - 15.5)
    copy = Series()
    copy.load_state_dict(series.state_dict())
    assert copy.state_dict() == series.state_dict()


def test_a_train_step_of_ones_own_is_not_judged_by_a_loss_that_nobody_knows() -> None:
    class Own(Trainer):
        def train_step(self, window: Any) -> Any:
            return super().train_step(window)

    diagnostic = Learning()
    for number in range(30):
        diagnostic._train.add(number, 1.0 + number)
    assert diagnostic.symptoms(trainer(mlp(8, 4), []))
    assert diagnostic.symptoms(trainer(mlp(8, 4), [], cls=Own)) == []
