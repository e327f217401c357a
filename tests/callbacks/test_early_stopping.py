"""Early stopping, fed with one value a validation."""

import math

import pytest

from trainkit.callbacks import EarlyStopping
from trainkit.errors import ConfigError
from trainkit.state import Best, Counters

NAN, INF = math.nan, math.inf


class Run:
    """A run that validates every ten steps and notes the wishes to stop."""

    def __init__(self, monitor="val/loss", mode="min"):
        self.best, self.counters, self.reasons = Best(monitor, mode), Counters(), []

    def stop(self, reason):
        self.reasons.append(reason)


def validations(callback, values, run=None):
    """Feed the values and return how many it took to stop, or None, with the reason."""
    run = run or Run()
    callback.on_fit_start(run)
    for number, value in enumerate(values, 1):
        run.counters.step += 10
        callback.on_validation_end(run, {"val/loss": value, "val/accuracy": value})
        if run.reasons:
            return number, run.reasons[0]
    return None, ""


@pytest.mark.parametrize(
    ("options", "values", "stops"),
    [
        ({"patience": 2}, [3, 2, 2, 2], 4),
        ({"patience": 2}, [3, 2, 2.5, 1, 1.5, 0.5], None),
        ({"patience": 0}, [3, 2, 2], 3),
        ({"patience": None}, [1, 2, 3, 4, 5], None),
        ({"patience": 1, "min_delta": 0.5}, [3, 2.4, 2.0], 3),
        ({"patience": 1, "min_delta": 0.5}, [3, 2.4, 1.8], None),
        ({"patience": 1, "mode": "max"}, [1, 2, 2], 3),
        ({"patience": 1, "mode": "max"}, [1, 2, 3], None),
        ({"patience": 1, "mode": "max", "min_delta": 0.5}, [1, 1.4], 2),
        ({"patience_steps": 25}, [1, 2, 2], None),
        ({"patience_steps": 25}, [1, 2, 2, 2], 4),
        ({"patience_steps": 20, "patience": 1}, [1, 2, 2], 3),
        ({"stopping_threshold": 0.5}, [1, 0.5], 2),
        ({"stopping_threshold": 0.5}, [1, 0.51], None),
        ({"stopping_threshold": 0.9, "mode": "max"}, [0.8, 0.95], 2),
        ({"divergence_threshold": 10}, [1, 10, 10.5], 3),
        ({"divergence_threshold": 0.1, "mode": "max"}, [0.5, 0.1, 0.05], 3),
        ({}, [1, NAN], 2),
        ({}, [1, -INF], 2),
        ({"check_finite": False, "patience": 2}, [1, NAN, 0.5, NAN, NAN], 5),
        ({"check_finite": False, "patience": 9, "stopping_threshold": 0.5}, [1, NAN, 0.6], None),
        ({"check_finite": False, "patience": 9, "divergence_threshold": 5}, [1, INF], 2),
    ],
)
def test_it_stops_when_it_should(options, values, stops):
    assert validations(EarlyStopping("val/loss", **options), values)[0] == stops


@pytest.mark.parametrize(
    ("options", "values", "reason"),
    [
        ({"patience": 2}, [2, 3, 4], "early stopping: val/loss has not improved on 2 for 2 validations"),
        ({"patience_steps": 20}, [2, 3, 4], "early stopping: val/loss has not improved on 2 for 20 steps"),
        ({"stopping_threshold": 2.5}, [2], "early stopping: val/loss=2 has reached 2.5"),
        ({"divergence_threshold": 1.5}, [2], "early stopping: val/loss=2 is worse than 1.5"),
        ({}, [NAN], "early stopping: val/loss is nan"),
    ],
)
def test_it_says_why(options, values, reason):
    assert validations(EarlyStopping("val/loss", **options), values)[1] == reason


@pytest.mark.parametrize(
    ("callback", "run", "monitor", "mode"),
    [
        (EarlyStopping(), Run("val/accuracy", "max"), "val/accuracy", "max"),
        (EarlyStopping("val/accuracy"), Run("val/accuracy", "max"), "val/accuracy", "max"),
        (EarlyStopping("val/loss"), Run("val/accuracy", "max"), "val/loss", "min"),
        (EarlyStopping("val/accuracy", mode="max"), Run(), "val/accuracy", "max"),
    ],
)
def test_what_is_not_given_is_the_runs_own(callback, run, monitor, mode):
    callback.on_fit_start(run)
    assert (callback.monitor, callback.mode) == (monitor, mode)


def test_a_metric_that_is_not_there_is_an_error_with_the_closest():
    with pytest.raises(
        ConfigError, match=r"monitors 'val/acuracy'.*it gives val/accuracy, val/loss\. Did you mean 'val/accuracy'"
    ):
        validations(EarlyStopping("val/acuracy"), [1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "least"}, "mode=least: must be min or max"),
        ({"patience": -1}, "must not be negative"),
        ({"min_delta": -0.1}, "must not be negative"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(ConfigError, match=rf"callbacks\.early_stopping.*{message}"):
        EarlyStopping(**options)


@pytest.mark.parametrize("broken_at", [1, 2, 3])
def test_a_resumed_run_stops_where_the_unbroken_one_does(broken_at):
    values, run = [1, 2, 2, 2, 2], Run()
    first, second = EarlyStopping("val/loss", patience=3), EarlyStopping("val/loss", patience=3)
    assert validations(first, values[:broken_at], run) == (None, "")
    second.load_state_dict(first.state_dict())
    assert validations(second, values[broken_at:], run)[0] == 4 - broken_at


def test_a_run_out_of_patience_stops_again_when_it_is_resumed():
    first, second, run = EarlyStopping("val/loss", patience=1), EarlyStopping("val/loss", patience=1), Run()
    validations(first, [1, 2])
    second.load_state_dict(first.state_dict())
    second.on_fit_start(run)
    assert run.reasons == ["early stopping: val/loss has not improved on 1 for 1 validations"]


@pytest.mark.parametrize(
    ("run", "best"), [(Run("val/loss", "min"), 1), (Run("val/accuracy", "min"), None), (Run("val/loss", "max"), None)]
)
def test_the_best_of_another_metric_is_forgotten(run, best):
    first, second = EarlyStopping(patience=3), EarlyStopping(patience=3)
    validations(first, [1, 2])
    second.load_state_dict(first.state_dict())
    second.on_fit_start(run)
    assert (second.best, second.waited) == (best, 0 if best is None else 1)


def test_a_state_that_does_not_say_of_which_metric_its_best_is_is_taken_as_it_is():
    first, second = EarlyStopping(), EarlyStopping()
    validations(first, [1, 2])
    second.load_state_dict(first.state_dict() | {"best_of": None})
    second.on_fit_start(Run("val/accuracy", "max"))
    assert second.best == 1
