"""The numbers that the recipes promise, on the real data."""

from pathlib import Path
from statistics import mean

import pytest
from torch import Tensor

import trainkit
from trainkit.recipes.data import auto_mpg

QUIET = ("callbacks.progress=null", "callbacks.predictions=null", "loggers.tensorboard=null")


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_mlp_is_right_on_965_of_1000_digits_in_the_mean_of_five_seeds() -> None:
    """Its file expects 0.985."""
    found = [trainkit.run("mlp", f"seed={seed}", *QUIET).metrics["test/accuracy"] for seed in range(5)]
    assert mean(found) >= 0.965
    assert min(found) > 0.95
    assert len(set(found)) > 1


@pytest.mark.slow
def test_cnn_is_right_on_98_of_100_digits() -> None:
    """Its file expects 0.990."""
    assert trainkit.run("cnn", *QUIET).metrics["test/accuracy"] >= 0.98


def test_linear_halves_the_error_of_guessing_the_mean() -> None:
    splits = auto_mpg()
    guess: Tensor = splits.train.tensors[1].mean()
    baseline = (splits.test.tensors[1] - guess).square().mean().sqrt().item()
    assert trainkit.run("linear", *QUIET).metrics["test/rmse"] <= baseline / 2
