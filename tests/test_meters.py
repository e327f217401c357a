"""Averages of the training scalars."""

import math

import pytest
import torch

from trainkit.errors import TrainingError
from trainkit.meters import StepMeter, read_scalars


def meter_of(losses, counts, clip=None, window=1):
    meter = StepMeter(clip, window)
    for loss, count in zip(losses, counts, strict=True):
        meter.add(torch.tensor(loss), count)
    return meter


def test_read_scalars_keeps_the_order_of_tensors_and_numbers():
    assert read_scalars([1, torch.tensor(2.0), 3.5, torch.tensor(4.0)]) == [1.0, 2.0, 3.5, 4.0]
    assert read_scalars([]) == []


def test_the_mean_loss_is_weighted_by_targets_and_then_forgotten():
    meter = meter_of([1.0, 4.0], [3, torch.tensor(1)])
    assert meter.pending
    assert meter.read(0, 2) == {"train/loss": (1.0 * 3 + 4.0 * 1) / 4}
    assert not meter.pending
    assert meter.read(0, 2) == {}


def test_the_epoch_is_averaged_over_all_readings():
    meter = meter_of([1.0], [3])
    meter.read(0, 1)
    meter.add(torch.tensor(5.0), 1)
    meter.read(0, 2)
    assert meter.read_epoch() == 2.0
    assert math.isnan(meter.read_epoch())


def test_norms_are_averaged_and_the_clipped_ones_counted():
    meter = StepMeter(clip=1.0, window=1)
    for norm in (0.5, 1.0, 1.5, 4.0):
        meter.add_step([], [], torch.tensor(norm))
    assert meter.read(0, 4) == {"train/gradient_norm": 1.75, "train/clipped": 0.5}


def test_without_clipping_nothing_is_said_of_it():
    meter = StepMeter(clip=None, window=1)
    meter.add_step([], [], torch.tensor(2.0))
    assert meter.read(0, 1) == {"train/gradient_norm": 2.0}


def test_throughput_is_of_the_samples_since_the_clock_was_restarted(monkeypatch):
    clock = iter([0.0, 10.0, 12.0, 17.0])
    monkeypatch.setattr("trainkit.meters.perf_counter", lambda: next(clock))
    meter = StepMeter(None, 1)
    meter.restart_clock(100)
    assert meter.read(150, 5)["train/samples_per_second"] == 25.0
    assert meter.read(160, 6)["train/samples_per_second"] == 2.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_an_error_with_advice(bad):
    meter = meter_of([1.0, bad, 1.0], [1, 1, 1])
    with pytest.raises(TrainingError, match=rf"step 9: the loss is {bad}; try a smaller optimizer\.lr"):
        meter.read(0, 10)


@pytest.mark.parametrize(
    ("batches", "broken", "step"),
    [(8, 0, 9), (8, 3, 9), (8, 4, 10), (5, 3, 9), (5, 4, 10), (1, 0, 10)],  # the last window of five has one batch
)
def test_the_step_of_a_broken_loss_counts_windows(batches, broken, step):
    losses = [1.0] * batches
    losses[broken] = math.nan
    with pytest.raises(TrainingError, match=f"step {step}:"):
        meter_of(losses, [1] * batches, window=4).read(0, 10)


def test_a_resumed_meter_reads_the_same():
    meter, other = meter_of([1.0], [3], clip=1.0), StepMeter(1.0, 1)
    meter.read(0, 1)
    meter.add(torch.tensor(5.0), torch.tensor(2))
    meter.add_step([], [], torch.tensor(3.0))
    other.load_state_dict(meter.state_dict())
    meter.restart_clock(0)
    other.restart_clock(0)
    assert other.read(0, 2) == meter.read(0, 2) == {"train/loss": 5.0, "train/gradient_norm": 3.0, "train/clipped": 1.0}
    assert other.read_epoch() == meter.read_epoch() == (3 + 10) / 5


def test_the_state_is_of_plain_types():
    meter = meter_of([1.0], [torch.tensor(3)])
    meter.add_step([], [], torch.tensor(2.0))
    assert meter.state_dict() == {
        "losses": [1.0],
        "counts": [3.0],
        "norms": [2.0],
        "epoch_sum": 0.0,
        "epoch_count": 0.0,
    }
