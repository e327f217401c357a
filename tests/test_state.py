"""What a run remembers."""

import pytest
import torch
from torch import nn

from trainkit.errors import ConfigError
from trainkit.state import Best, Counters, Stateful, restore, snapshot


def test_counters_round_trip():
    counters = Counters(epoch=2, batch=3, step=40, samples=500, skipped=1, validated=7, total_batches=41, seconds=1.5)
    other = Counters()
    other.load_state_dict(counters.state_dict())
    assert other == counters


@pytest.mark.parametrize(("epoch", "batch", "number"), [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 5, 2)])
def test_epoch_number_is_that_of_the_last_batch(epoch, batch, number):
    assert Counters(epoch=epoch, batch=batch).epoch_number == number


def test_records_are_counted_within_their_step():
    counters = Counters(step=3)
    counters.note_record()
    counters.note_record()
    assert (counters.logged_step, counters.logged) == (3, 2)
    counters.step = 4
    counters.note_record()
    assert (counters.logged_step, counters.logged) == (4, 1)


@pytest.mark.parametrize(
    ("mode", "values", "verdicts"),
    [
        ("min", [3.0, 2.0, 2.0, 2.5, 1.0], [True, True, False, False, True]),
        ("max", [0.5, 0.4, 0.5, 0.6], [True, False, False, True]),
        ("min", [float("nan"), 5.0, float("-inf"), float("nan"), 4.0], [False, True, False, False, True]),
    ],
)
def test_best_improves_by_its_mode_and_never_to_the_non_finite(mode, values, verdicts):
    best = Best("val/x", mode)
    found = [best.improved({"val/x": value}, Counters(epoch=i, step=10 * i)) for i, value in enumerate(values)]
    assert found == verdicts
    last = max(i for i, verdict in enumerate(verdicts) if verdict)
    assert (best.value, best.epoch, best.step) == (values[last], last, 10 * last)


def test_best_names_the_metrics_there_are():
    with pytest.raises(
        ConfigError, match=r"monitor\.metric=val/los: the run logs val/accuracy, val/loss\. Did you mean 'val/loss'"
    ):
        Best("val/los").improved({"val/loss": 1.0, "val/accuracy": 0.5}, Counters())


def test_best_is_restored_for_its_own_metric_and_mode_only():
    best = Best("val/loss", "min")
    best.improved({"val/loss": 1.0}, Counters(epoch=1, step=9))
    same, other, turned = Best("val/loss", "min"), Best("val/accuracy", "min"), Best("val/loss", "max")
    for each in (same, other, turned):
        each.load_state_dict(best.state_dict())
    assert same == best
    assert other.value is None
    assert turned.value is None


def test_usual_parts_are_stateful():
    model = nn.Linear(1, 1)
    assert isinstance(model, Stateful)
    assert isinstance(torch.optim.SGD(model.parameters()), Stateful)
    assert not isinstance(object(), Stateful)


def test_snapshot_and_restore():
    a, b = nn.Linear(2, 2), Counters(step=5)
    state = snapshot({"model": a, "counters": b})
    other, counters = nn.Linear(2, 2), Counters()
    restore({"model": other, "counters": counters}, state)
    assert torch.equal(other.weight, a.weight)
    assert counters.step == 5


def test_restore_lets_unknown_callbacks_begin_anew():
    restore({"callbacks.new": Counters()}, {})


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "does not fit the model of this run: it has no 'model'"),
        ({"model": nn.Linear(3, 2).state_dict()}, "does not fit the model of this run: .*size mismatch"),
        ({"model": None}, "does not fit the model of this run"),
    ],
)
def test_restore_says_which_part_does_not_fit(state, message):
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        restore({"model": nn.Linear(2, 2)}, state)
